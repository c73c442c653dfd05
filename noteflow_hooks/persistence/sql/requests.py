"""The requests under ids, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.ports.repositories import RequestRepository
from noteflow_hooks.domain.requests import REMEMBERED, NamedRequest
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from noteflow_hooks.persistence.sql.work import Work

_FIELDS: Final = tuple(NamedRequest.__dataclass_fields__)
#: The columns that a claim writes; the database's clock gives ``created_at``.
_WRITTEN: Final = tuple(name for name in _FIELDS if name != "created_at")

_COLUMNS: Final = ", ".join(_FIELDS)
_GET: Final = Statement(
    f"SELECT {_COLUMNS} FROM noteflow.request_ids"  # noqa: S608 - constants
    " WHERE id = :id AND created_at > now() - CAST(:remembered AS interval)",
    reads=True,
)
#: Waits for a rival's commit, so that one of any number of racing callers is the first. One that is no longer
#: remembered gives its place up. The conflict names no column: the id is made of workspace and name, each of the two is
#: unique, and whichever of them a rival's row is met by must do.
_CLAIM: Final = Statement(f"""
WITH first AS (
    INSERT INTO noteflow.request_ids (id, {", ".join(_WRITTEN)})
    VALUES (:id, {", ".join(f":{name}" for name in _WRITTEN)})
    ON CONFLICT DO NOTHING
    RETURNING id
), renewed AS (
    UPDATE noteflow.request_ids SET created_at = now(), {", ".join(f"{name} = :{name}" for name in _WRITTEN)}
    WHERE id = :id AND created_at <= now() - CAST(:remembered AS interval)
    RETURNING id
)
SELECT id FROM first UNION ALL SELECT id FROM renewed
""")  # noqa: S608 - constants
_COMPLETE: Final = Statement(
    "UPDATE noteflow.request_ids SET target_id = :target_id, secret_id = :secret_id, secret_hint = :secret_hint"
    " WHERE id = :id"
)


class SqlAlchemyRequestRepository(RequestRepository):
    """The requests under ids, in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def get(self, request: NamedRequest) -> NamedRequest | None:
        row = self._work.ask(_GET, id=request.id, remembered=REMEMBERED).first()
        return None if row is None else NamedRequest(*row)

    @override
    def claim(self, request: NamedRequest) -> NamedRequest | None:
        written = {name: getattr(request, name) for name in _WRITTEN}
        if self._work.ask(_CLAIM, id=request.id, remembered=REMEMBERED, **written).all():
            return None
        return self.get(request)

    @override
    def complete(self, request: NamedRequest) -> None:
        written = {name: getattr(request, name) for name in ("target_id", "secret_id", "secret_hint")}
        self._work.ask(_COMPLETE, id=request.id, **written)
