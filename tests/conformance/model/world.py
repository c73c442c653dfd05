"""A store as the suite uses it, whichever it is, with the few steps that most tests begin with.

The clock is the store's own and can't be moved: a lease that has ended is one with a negative slack.
"""
# ruff: noqa: ANN401 - an override is whatever type its field has

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.health.state import HealthRules
from tests.support.builders import EXACT, a_meeting, a_webhook, a_workspace, an_attempt_result, an_event, hours
from tests.support.roll_ups import count_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.audit.entries import AuditEntry
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.domain.ports.audit import BreakerLog
    from noteflow_hooks.domain.ports.certificates import CertificateWatch
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore
    from noteflow_hooks.domain.ports.mails import MailStore
    from noteflow_hooks.domain.ports.maintenance import RetentionStore
    from noteflow_hooks.domain.ports.stats import StatsKeeper
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.webhooks import WebhookConfig

SLACK = timedelta(seconds=10)
#: Longer than any endpoint's timeout: a claim with this slack has expired at once.
EXPIRED = hours(-1)


@dataclass(frozen=True)
class World:
    """An empty store."""

    units: Callable[[], UnitOfWork]
    deliveries: DeliveryStore
    #: Makes the workers' half of the same store, with rules of its own.
    ruled: Callable[[HealthRules], DeliveryStore]
    #: Makes everything that is stored so much older.
    age: Callable[[timedelta], None]
    retention: RetentionStore
    #: What the sweep has breakers told by.
    breakers: BreakerLog
    #: What the purge has people told of certificates by.
    certificates: CertificateWatch
    #: What the sweep has figures kept by.
    keeper: StatsKeeper
    #: What sends mails.
    mails: MailStore

    def under(self, **rules: Any) -> World:
        """Return the same store with such rules for the endpoints' health."""
        return replace(self, deliveries=self.ruled(HealthRules(**rules)))

    def workspace(self) -> UUID:
        """Store a workspace."""
        with self.units() as unit:
            stored = unit.access.create_workspace(a_workspace())
            unit.commit()
        return stored.id

    def webhook(self, workspace_id: UUID, **overrides: Any) -> WebhookConfig:
        """Store an endpoint."""
        with self.units() as unit:
            stored = unit.webhooks.create(a_webhook(workspace_id=workspace_id, **overrides))
            unit.commit()
        return stored

    def change(self, webhook: WebhookConfig) -> WebhookConfig:
        """Store a changed endpoint."""
        with self.units() as unit:
            stored = unit.webhooks.update(webhook)
            unit.commit()
        return stored

    def delete(self, webhook: WebhookConfig) -> bool:
        """Delete an endpoint."""
        with self.units() as unit:
            deleted = unit.webhooks.delete(webhook.id)
            unit.commit()
        return deleted

    def event(self, workspace_id: UUID, **overrides: Any) -> Event:
        """Store an event."""
        with self.units() as unit:
            stored = unit.events.append(an_event(workspace_id=workspace_id, **overrides))
            unit.commit()
        return stored

    def meeting(self, workspace_id: UUID, **overrides: Any) -> Meeting:
        """Store a meeting."""
        with self.units() as unit:
            stored = unit.meetings.create(a_meeting(workspace_id=workspace_id, **overrides))
            unit.commit()
        return stored

    def entries(self, workspace_id: UUID) -> list[AuditEntry]:
        """Return the workspace's audit trail, oldest first."""
        with self.units() as unit:
            return list(reversed(unit.audit.list_page(workspace_id, limit=10_000)))

    def read_event(self, event: Event) -> Event | None:
        """Return an event as it is stored, or None."""
        with self.units() as unit:
            return unit.events.get_by_id(event.id)

    def read_meeting(self, meeting: Meeting) -> Meeting:
        """Return a meeting as it is stored."""
        with self.units() as unit:
            stored = unit.meetings.get(meeting.workspace_id, meeting.id)
        assert stored is not None
        return stored

    def dispatched(self, event: Event) -> list[WebhookDelivery]:
        """Dispatch an event to its end and return its deliveries."""
        while self.deliveries.dispatch([event.id], limit=100).more:
            pass
        with self.units() as unit:
            return list(unit.deliveries.get_by_event(event.id))

    def delivery(self, workspace_id: UUID, **overrides: Any) -> WebhookDelivery:
        """Store a workspace's only endpoint and an event for it, and return the delivery."""
        self.webhook(workspace_id, **overrides)
        [delivery] = self.dispatched(self.event(workspace_id))
        return delivery

    def claim(self, delivery_id: UUID, *, slack: timedelta = SLACK) -> Claim:
        """Claim that delivery."""
        [claim] = self.deliveries.claim([delivery_id], limit=1, lease_slack=slack)
        assert claim.delivery.id == delivery_id
        return claim

    def settle(self, claim: Claim, result: AttemptResult, *, wait: timedelta | None = None) -> bool:
        """Settle a claim as a worker does, with ``wait`` in place of the policy's."""
        after, ruled = claim.delivery.attempted(result, max_retries=claim.webhook.max_retries, policy=EXACT, draw=0.5)
        chosen = wait if wait is not None and ruled is not None else ruled
        stored = self.deliveries.settle([Settlement(after, wait=chosen, attempt=result)])
        return stored.fencing_keys == {(claim.delivery.id, claim.delivery.claim_no)}

    def attempt(self, delivery_id: UUID, **overrides: Any) -> None:
        """Make an attempt that is due again at once where it fails."""
        assert self.settle(self.claim(delivery_id), an_attempt_result(**overrides), wait=timedelta(0))

    def read(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Return a delivery as it is stored."""
        with self.units() as unit:
            delivery = unit.deliveries.get_by_id(workspace_id, delivery_id)
        assert delivery is not None
        return delivery

    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Make a settled delivery due once more."""
        with self.units() as unit:
            delivery = unit.deliveries.send_again(workspace_id, delivery_id)
            unit.commit()
        return delivery

    def count(self) -> None:
        """Have the roll-ups count all that has happened."""
        count_all(self.keeper, until_now=self.deliveries.now())

    def attempts(self, delivery_id: UUID) -> list[WebhookAttempt]:
        """Return a delivery's attempts."""
        with self.units() as unit:
            return list(unit.deliveries.attempts(delivery_id))
