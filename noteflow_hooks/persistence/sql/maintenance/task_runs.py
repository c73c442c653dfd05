"""When the tasks that beat calls last ran, in PostgreSQL: a row for each, written over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from typing_extensions import override

from noteflow_hooks.domain.ports.maintenance import TASKS, TaskRuns

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
#: The sweep keeps notes of its own in the table, which are no runs: which server it has met, and what it waited for.
_ALL = text("SELECT name, ended_at, clock_timestamp() AS now FROM noteflow.task_runs WHERE name = ANY(:tasks)")


class SqlAlchemyTaskRuns(TaskRuns):
    """The runs of the tasks in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections, for a statement each."""
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    @override
    def note(self, name: str, *, took: timedelta) -> None:
        with self._alone.connect() as connection:
            connection.execute(_NOTE, {"name": name, "took": took})

    @override
    def ages(self) -> Mapping[str, timedelta]:
        with self._alone.connect() as connection:
            return {row.name: row.now - row.ended_at for row in connection.execute(_ALL, {"tasks": list(TASKS)})}
