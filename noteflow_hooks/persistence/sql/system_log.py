"""What tells whether relay, sweep and workers do their work, in PostgreSQL: one statement, an index's row for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.ports.maintenance import RELAY, SWEEP, Signs
from noteflow_hooks.domain.ports.repositories import SystemLog
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from noteflow_hooks.persistence.sql.work import Work

# rule of domain.deliveries.WebhookDelivery.is_due
_SIGNS: Final = Statement(
    f"""
SELECT clock_timestamp() AS now,
       (SELECT ended_at FROM noteflow.task_runs WHERE name = '{RELAY}') AS relay_at,
       (SELECT ended_at FROM noteflow.task_runs WHERE name = '{SWEEP}') AS sweep_at,
       (
           SELECT created_at FROM noteflow.webhook_events WHERE dispatched_at IS NULL ORDER BY created_at LIMIT 1
       ) AS event_since,
       (
           SELECT next_attempt_at FROM noteflow.webhook_deliveries
           WHERE status = 'pending' AND NOT held AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 1
       ) AS delivery_since
""",  # noqa: S608 - our own constants
    reads=True,
)


class SqlAlchemySystemLog(SystemLog):
    """The signs in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def signs(self) -> Signs:
        row = self._work.ask(_SIGNS).first()
        return Signs(row.now, row.relay_at, row.sweep_at, row.event_since, row.delivery_since)
