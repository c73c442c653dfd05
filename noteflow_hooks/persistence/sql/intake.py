"""Events that are stored with no change of ours beside them: one statement for a group, which commits by itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.persistence.sql.append_statements import append
from noteflow_hooks.persistence.sql.delivery.direct import (
    BrokenConnectionError,
    DirectStatement,
    DirectStatements,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import TextClause
    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.errors import AlreadyExistsError

#: A connection that was at rest may be dead, and none is asked first: the next one is new, since the pool is emptied.
_TRIES: Final = 2

_direct = cache(DirectStatement.of)


class SqlEventIntake:
    """Stores events in groups, for the server."""

    def __init__(self, engine: Engine) -> None:
        """Lend connections from the engine's pool."""
        self._statements = DirectStatements(engine, unasked=True)

    def store(self, events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        """Store and commit the events; return for each what ``EventOutbox.append_many`` says.

        A statement whose connection broke is repeated: the events' ids tell whether it had come through. What the
        database refuses of one event fails all of them.
        """
        return append(events, self._run)

    def _run(self, statement: TextClause, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        for _ in range(_TRIES - 1):
            try:
                return self._statements.rows(_direct(statement), params)
            except BrokenConnectionError:
                continue
        return self._statements.rows(_direct(statement), params)
