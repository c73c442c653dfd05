"""Events that are stored with no change of ours beside them: one statement for a group, which commits by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.persistence.sql.append_statements import append
from noteflow_hooks.persistence.sql.work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.errors import AlreadyExistsError


class SqlEventIntake:
    """Stores events in groups, for the server."""

    def __init__(self, engine: Engine) -> None:
        """Lend connections from the engine's pool."""
        self._engine = engine

    def store(self, events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        """Store and commit the events; return for each what ``EventOutbox.append_many`` says.

        A statement whose connection broke is repeated: the events' ids tell whether it had come through. What the
        database refuses of one event fails all of them.
        """
        work = Work(self._engine)
        try:
            return append(events, work.alone)
        finally:
            work.close()
