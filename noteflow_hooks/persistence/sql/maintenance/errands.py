"""Whether there is anything to do of what workers seldom have to do, by a look that needs no unit of work.

A unit of work brings SQLAlchemy's ORM and all tables' classes along: ten megabytes of each worker process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.engine import Engine

#: Tells whether an open recording's server has been silent for so long.
# rule of domain.meetings.Recording.is_abandoned
ABANDONED = text("""
SELECT EXISTS (
    SELECT FROM noteflow.recordings WHERE ended_at IS NULL AND seen_at <= now() - CAST(:silent_for AS interval)
)
""")
_REPLAYS = text("SELECT EXISTS (SELECT FROM noteflow.webhook_replays WHERE state = 'running')")


class Errands:
    """What is to be done, in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections, for a statement each."""
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def has_abandoned(self, *, silent_for: timedelta) -> bool:
        """Tell whether a recording is open whose server has been silent for so long."""
        with self._alone.connect() as connection:
            return bool(connection.execute(ABANDONED, {"silent_for": silent_for}).scalar_one())

    def has_replays(self) -> bool:
        """Tell whether a replay is running; its next step may be due later."""
        with self._alone.connect() as connection:
            return bool(connection.execute(_REPLAYS).scalar_one())
