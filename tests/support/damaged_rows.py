"""A worker's parts over a database without checks, and two endpoints: one to be hurt, one that stays well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg

from noteflow_hooks import bootstrap
from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import BULKHEAD, DeliveryRules
from noteflow_hooks.delivery.wake_ups import Lane, NoWakeUps
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.maintenance.replays import advance_replays
from noteflow_hooks.maintenance.rescue import Rescue
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.settings import Settings
from tests.support.builders import a_webhook, a_workspace, an_event
from tests.support.wake_ups import KeptWakeUps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.executor import WebhookExecutor
    from tests.support.receiver import Receiver

BOX: Final = SecretBox([bytes(32)])
#: Statements that drop every CHECK; those that a table has inherited go with its parent's.
_LAXER: Final = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
WHERE contype = 'c' AND conislocal AND connamespace = 'noteflow'::regnamespace
"""


def make_lax(url: str) -> None:
    """Bring a database to the newest schema, without a single CHECK that a damaged row could break."""
    bootstrap.migrate(Settings(_env_file=None, database_url=url))
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for [statement] in connection.execute(_LAXER).fetchall():
            connection.execute(statement)


class DamagedRowsRig:
    """A worker's parts over that database, a receiver, and two endpoints: one to be hurt, one that stays well."""

    def __init__(self, url: str, engine: Engine, executor: WebhookExecutor, receiver: Receiver) -> None:
        self.engine = engine
        self.connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self.connection.execute(
            "TRUNCATE noteflow.workspaces, noteflow.webhook_deliveries, noteflow.webhook_attempts CASCADE"
        )
        self.receiver = receiver
        self.store = SqlAlchemyDeliveryStore(self.engine, BOX)
        self.service = DeliveryService(
            self.store,
            executor.post,
            Bulkhead(8, tuning=BULKHEAD),
            rules=DeliveryRules(
                policy=RetryPolicy(base=timedelta(milliseconds=1), jitter=0),
                chunk=50,
                lease_slack=timedelta(seconds=0.5),
                countdown_max=timedelta(seconds=60),
                slow_after=timedelta(seconds=5),
            ),
        )
        self.rescue = Rescue(self.store, chunk=50)
        with self.unit() as unit:
            workspace = unit.access.create_workspace(a_workspace())
            for name in ("hurt", "fine"):
                url = receiver.url(f"/{name}")
                unit.webhooks.create(
                    a_webhook(workspace_id=workspace.id, url=url, name=name, secret="a-secret", timeout_ms=30_000)
                )
            unit.commit()
        self.workspace_id = workspace.id
        with self.unit() as unit:
            unit.events.append(an_event(workspace_id=workspace.id))
            unit.commit()

    def unit(self) -> SqlAlchemyUnitOfWork:
        """Begin a unit of work on that database."""
        return SqlAlchemyUnitOfWork(self.engine, BOX)

    def work(self) -> bool:
        """Do all that workers do, once; whatever it raises fails the test. True, for use in conditions."""
        ids = self.dispatched()
        self.rescue.reclaim_expired()
        overdue = [each for chunk in self.rescue.overdue(by=timedelta(0), queued=0) for each in chunk]
        self.service.deliver(ids + overdue, wake_ups=NoWakeUps())
        self.service.deliver([], wake_ups=NoWakeUps(), lane=Lane.SLOW)
        self.rescue.wake_ups(queued=0, queued_slow=0)
        advance_replays(self.unit)
        return True

    def dispatched(self) -> list[UUID]:
        """Dispatch, and return the deliveries that were made."""
        wake_ups = KeptWakeUps()
        self.service.dispatch([], wake_ups=wake_ups)
        return wake_ups.enqueued

    def row(self, name: str) -> DeliveryRow | None:
        """Return the delivery to the endpoint of that name, or None."""
        found = self.connection.execute(
            "SELECT delivery.status, coalesce(delivery.error_message, ''), webhook.name"
            " FROM noteflow.webhook_deliveries AS delivery"
            " JOIN noteflow.webhook_configs AS webhook ON webhook.id = delivery.webhook_id"
            " WHERE webhook.name = %s",
            [name],
        ).fetchone()
        return None if found is None else DeliveryRow(found[0], found[1], self._kinds(name))

    def _kinds(self, name: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT coalesce(attempt.error_kind, 'none') FROM noteflow.webhook_attempts AS attempt"
            " JOIN noteflow.webhook_deliveries AS delivery ON delivery.id = attempt.delivery_id"
            " JOIN noteflow.webhook_configs AS webhook ON webhook.id = delivery.webhook_id"
            " WHERE webhook.name = %s ORDER BY attempt_number",
            [name],
        )
        return [kind for [kind] in rows]


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery's status and error, and the kinds of its attempts' errors in their order."""

    status: str
    message: str
    kinds: Sequence[str]
