"""When the tasks that beat calls last ran, in PostgreSQL: a row for each, written over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from sqlalchemy.engine import Engine

#: It waits for no disk: what a crash takes is written again within a period. The last one to end counts.
_NOTE = text("""
WITH hurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
)
INSERT INTO noteflow.task_runs AS run (name, began_at, ended_at)
SELECT CAST(:name AS text), clock_timestamp() - CAST(:took AS interval), clock_timestamp() FROM hurried
ON CONFLICT (name) DO UPDATE SET began_at = greatest(run.began_at, EXCLUDED.began_at), ended_at = clock_timestamp()
""")
_ALL = text("SELECT name, ended_at, clock_timestamp() AS now FROM noteflow.task_runs")


class SqlAlchemyTaskRuns:
    """See :class:`noteflow_hooks.domain.ports.maintenance.TaskRuns`."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections, for a statement each."""
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def note(self, name: str, *, took: timedelta) -> None:
        """Record that the task of that name has just run to its end, and how long that took."""
        with self._alone.connect() as connection:
            connection.execute(_NOTE, {"name": name, "took": took})

    def ages(self) -> Mapping[str, timedelta]:
        """Return how long ago each task last did, by its name."""
        with self._alone.connect() as connection:
            return {row.name: row.now - row.ended_at for row in connection.execute(_ALL)}
