"""The workspaces' own event types, in PostgreSQL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.event_types import CustomEventType, check_room
from noteflow_hooks.domain.ports.repositories import EventTypeRepository
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.persistence.sql.work import Work

_FIELDS: Final = tuple(each.name for each in fields(CustomEventType))
#: What a caller's call writes; the database's clock gives the moments.
_WRITTEN: Final = tuple(name for name in _FIELDS if name not in ("created_at", "updated_at"))
_COLUMNS: Final = ", ".join(_FIELDS)
_SELECT: Final = f"SELECT {_COLUMNS} FROM noteflow.event_types WHERE workspace_id = :workspace_id"  # noqa: S608 - constants
_ALL: Final = Statement(f"{_SELECT} ORDER BY name", reads=True)
_SOME: Final = Statement(f"{_SELECT} AND name = ANY(CAST(:names AS text[]))", reads=True)
#: Of two that come at once, the second one counts the first.
_LOCK: Final = Statement("SELECT id FROM noteflow.workspaces WHERE id = :workspace_id FOR NO KEY UPDATE")
_OTHERS: Final = Statement(
    "SELECT count(*) AS others FROM noteflow.event_types WHERE workspace_id = :workspace_id AND name <> :name"
)
_PUT: Final = Statement(f"""
INSERT INTO noteflow.event_types ({", ".join(_WRITTEN)}) VALUES ({", ".join(f":{name}" for name in _WRITTEN)})
ON CONFLICT (workspace_id, name) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _WRITTEN[2:])}, updated_at = clock_timestamp()
RETURNING {_COLUMNS}
""")  # noqa: S608 - constants
_DELETE: Final = Statement(
    "DELETE FROM noteflow.event_types WHERE workspace_id = :workspace_id AND name = :name RETURNING name"
)


class SqlAlchemyEventTypeRepository(EventTypeRepository):
    """The workspaces' own event types, in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def put(self, kind: CustomEventType) -> CustomEventType:
        key = {"workspace_id": kind.workspace_id, "name": kind.name}
        if self._work.ask(_LOCK, workspace_id=kind.workspace_id).first() is None:
            raise NotFoundError(f"workspace_id: there is no workspace {kind.workspace_id}")
        if not self.get(kind.workspace_id, [kind.name]):
            check_room(self._work.ask(_OTHERS, **key).first().others)
        stored = self._work.ask(_PUT, **{name: getattr(kind, name) for name in _WRITTEN}).first()
        return _to_domain(stored)

    @override
    def get(self, workspace_id: UUID, names: Collection[str]) -> Mapping[str, CustomEventType]:
        rows = self._work.ask(_SOME, workspace_id=workspace_id, names=list(names)).all()
        return {row.name: _to_domain(row) for row in rows}

    @override
    def get_all(self, workspace_id: UUID) -> Sequence[CustomEventType]:
        return [_to_domain(row) for row in self._work.ask(_ALL, workspace_id=workspace_id).all()]

    @override
    def delete(self, workspace_id: UUID, name: str) -> bool:
        return self._work.ask(_DELETE, workspace_id=workspace_id, name=name).first() is not None


def _to_domain(row: Any) -> CustomEventType:  # noqa: ANN401 - a row of whatever columns
    return CustomEventType(**{name: getattr(row, name) for name in _FIELDS})
