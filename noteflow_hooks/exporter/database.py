"""What the exporter shows of the database: what changes quickly at each look, what is costlier once in a while."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.exporter import metrics
from noteflow_hooks.exporter.totals import of_totals
from noteflow_hooks.maintenance.clock import measure_skew
from noteflow_hooks.persistence.sql.maintenance.diagnostics import DatabaseDiagnostics
from noteflow_hooks.persistence.sql.maintenance.standing import Standing
from noteflow_hooks.persistence.sql.maintenance.task_runs import SqlAlchemyTaskRuns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy.engine import Engine

    from noteflow_hooks.telemetry.collecting import Rows
    from noteflow_hooks.telemetry.metrics import Metric

#: What goes through all endpoints is looked at so often.
_SELDOM_S: Final = 30.0
_WAITING: Final = (
    metrics.UNDISPATCHED,
    metrics.UNDISPATCHED_OLDEST,
    metrics.DUE,
    metrics.DUE_OLDEST,
    metrics.THROTTLED,
    metrics.SENDING,
    metrics.EXPIRED,
    metrics.EXPIRED_OLDEST,
    metrics.REPLAYS,
    metrics.MAILS_WAITING,
    metrics.MAILS_OLDEST,
)


class DatabaseLooks:
    """Looks at the database. Whatever does not answer, or refuses, raises :class:`UnavailableError`."""

    def __init__(self, engine: Engine, *, state_of: Callable[[bytes], str] | None) -> None:
        """``state_of`` tells whether the key that a ciphertext is under is ``current``, ``old`` or ``missing``.

        Without it, nothing is said of keys.
        """
        self._standing = Standing(engine)
        self._diagnostics = DatabaseDiagnostics(engine)
        self._task_runs = SqlAlchemyTaskRuns(engine)
        self._state_of = state_of
        self._seldom: tuple[float, Mapping[Metric, Rows]] | None = None

    def look(self) -> Mapping[Metric, Rows]:
        """Return the rows of each metric."""
        counts, counted_to = self._standing.totals()
        waiting = self._standing.waiting()
        now = datetime.now(UTC)
        runs: Rows = {(name,): (now - age).timestamp() for name, age in self._task_runs.ages().items()}
        rows: dict[Metric, Rows] = {
            **of_totals(counts),
            **{metric: {(): waiting[metric.name]} for metric in _WAITING},
            metrics.TASK_RUN: runs,
            metrics.CLOCK_SKEW: {(): measure_skew(self._diagnostics.now).ahead.total_seconds()},
        }
        if counted_to is not None:
            rows[metrics.COUNTED_TO] = {(): counted_to.timestamp()}
        return {**rows, **self._seldom_changing()}

    def _seldom_changing(self) -> Mapping[Metric, Rows]:
        if self._seldom is None or time.monotonic() - self._seldom[0] >= _SELDOM_S:
            self._seldom = (time.monotonic(), self._looked_closely())
        return self._seldom[1]

    def _looked_closely(self) -> Mapping[Metric, Rows]:
        opened, most = self._standing.connections()
        first_end = self._standing.first_certificate_end()
        return {
            **self._ciphertexts(),
            metrics.ENDPOINTS: {(state,): total for state, total in self._standing.endpoints().items()},
            metrics.CLIENT_CERTIFICATE: {} if first_end is None else {(): first_end.timestamp()},
            metrics.CONNECTIONS: {(): opened},
            metrics.MOST_CONNECTIONS: {(): most},
        }

    def _ciphertexts(self) -> Mapping[Metric, Rows]:
        if self._state_of is None:
            return {}
        rows = dict.fromkeys(metrics.CIPHERTEXTS.known, 0)
        for each in self._diagnostics.samples():
            rows[(self._state_of(each.sealed),)] += each.ciphertexts
        return {metrics.CIPHERTEXTS: rows}
