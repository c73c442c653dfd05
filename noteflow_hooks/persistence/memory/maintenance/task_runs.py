"""When the tasks that beat calls last ran, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.maintenance import TaskRuns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from noteflow_hooks.persistence.memory.store import MemoryStore


class InMemoryTaskRuns(TaskRuns):
    """The runs of the tasks in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    @override
    def note(self, name: str, *, took: timedelta) -> None:
        with self._store.transaction() as session:
            session.tables.task_runs[name] = session.now()

    @override
    def ages(self) -> Mapping[str, timedelta]:
        with self._store.transaction() as session:
            now = session.now()
            return {name: now - ended_at for name, ended_at in session.tables.task_runs.items()}
