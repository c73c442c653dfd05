"""What breakers have done and nobody was told of yet, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.audit import BreakerLog
from noteflow_hooks.persistence.sql.audit_statements import tell_breakers

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


class SqlAlchemyBreakerLog(BreakerLog):
    """The breakers' changes in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        """Work through this engine."""
        self._engine = engine

    @override
    def tell(self, *, limit: int) -> int:
        with self._engine.begin() as connection:
            return tell_breakers(connection, limit=limit)
