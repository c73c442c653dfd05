"""The requests under ids, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from typing_extensions import override

from noteflow_hooks.domain.ports.repositories import RequestRepository
from noteflow_hooks.domain.requests import REMEMBERED, NamedRequest
from noteflow_hooks.persistence.sql.orm import RequestIdRow

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

_FIELDS: Final = tuple(NamedRequest.__dataclass_fields__)
#: The columns that a claim writes; the database's clock gives ``created_at``.
_WRITTEN: Final = tuple(name for name in _FIELDS if name != "created_at")


class SqlAlchemyRequestRepository(RequestRepository):
    """The requests under ids, in PostgreSQL."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    @override
    def get(self, request: NamedRequest) -> NamedRequest | None:
        row = self._session.scalars(self._remembered(request)).one_or_none()
        return None if row is None else _to_domain(row)

    @override
    def claim(self, request: NamedRequest) -> NamedRequest | None:
        columns = {"id": request.id} | {name: getattr(request, name) for name in _WRITTEN}
        statement = insert(RequestIdRow).values(columns)
        # Waits for a rival's commit, so that one of any number of racing callers is the first. One that is no longer
        # remembered gives its place up.
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_={**columns, "created_at": func.now()},
            where=RequestIdRow.created_at <= func.now() - REMEMBERED,
        )
        claimed = self._session.execute(statement.returning(RequestIdRow.id)).one_or_none()
        if claimed is not None:
            return None
        return _to_domain(self._session.scalars(self._remembered(request)).one())

    @override
    def complete(self, request: NamedRequest) -> None:
        params = {"target_id": request.target_id, "secret_id": request.secret_id, "secret_hint": request.secret_hint}
        self._session.execute(update(RequestIdRow).where(RequestIdRow.id == request.id).values(params))

    @staticmethod
    def _remembered(request: NamedRequest) -> Select[RequestIdRow]:
        statement = select(RequestIdRow).where(
            RequestIdRow.id == request.id, RequestIdRow.created_at > func.now() - REMEMBERED
        )
        return statement.execution_options(populate_existing=True)


def _to_domain(row: RequestIdRow) -> NamedRequest:
    return NamedRequest(**{name: getattr(row, name) for name in _FIELDS})
