"""An endpoint's health, and the rules for it. ``scheduling`` and ``circuit_breaker`` say what follows from it.

An endpoint is *unrestricted* while nothing limits it: its deliveries are claimed like all others.
Otherwise it is *throttled*: its deliveries are left out of the common claim (the column ``held``), and are claimed in
scheduling slots of the endpoint's own. Whoever throttles a delivery also makes sure, under the lock on the endpoint's
health, that it has a next slot (``turn_at``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """The limits by which an endpoint's health is judged."""

    #: The most POSTs to one endpoint at once, of all workers together.
    concurrency: int = 200
    #: Failed attempts in a row that open the breaker; 0 for never.
    breaker_failures: int = 20
    #: How long the breaker stays open at first; each probe that fails doubles it, up to the longest.
    breaker_open: timedelta = timedelta(seconds=30)
    breaker_open_max: timedelta = timedelta(minutes=10)
    #: An attempt that takes longer makes its endpoint a slow one.
    slow_after: timedelta = timedelta(seconds=1)
    #: After so long without a success, ``webhook.failing`` warns.
    warn_after: timedelta = timedelta(days=1)
    #: After so long without a success it is disabled, if its first and last failure are ``disable_span`` apart.
    disable_after: timedelta = timedelta(days=5)
    disable_span: timedelta = timedelta(hours=12)
    #: Whether the workspace's other endpoints get events of health transitions: not while webhooks are switched off.
    tells: bool = True


class HealthState(StrEnum):
    """An endpoint's health in one word, for people."""

    HEALTHY = "healthy"
    FAILING = "failing"
    CIRCUIT_OPEN = "circuit_open"
    RECOVERING = "recovering"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """One endpoint's health; each change is a new value. All moments are by the store's clock."""

    webhook_id: UUID
    #: Its next scheduling slot: when its throttled deliveries are claimed next; None where there are none.
    turn_at: datetime | None = None
    #: Whether the next slot comes as soon as one of its POSTs has ended; ``turn_at`` is then the latest moment.
    awaiting_room: bool = False
    #: Whether the next slot is when a batch goes that has not all the members that it may have.
    gathering: bool = False
    #: Failed attempts in a row.
    failures: int = 0
    failing_since: datetime | None = None
    last_failure_at: datetime | None = None
    #: When ``webhook.failing`` was sent, which happens once until the next success.
    warned_at: datetime | None = None
    #: The breaker is open until then; after that, and until a success, one probe at a time is sent.
    open_until: datetime | None = None
    #: How often it has opened in a row.
    opened: int = 0
    #: A probe is under way until then at the latest; after that it counts as lost.
    probing_until: datetime | None = None
    #: Slow start: how many POSTs at once the recovering endpoint gets; None where it has recovered.
    ramp: int | None = None
    slow_since: datetime | None = None
    #: Quick attempts in a row, while it is slow.
    quick: int = 0
    #: When the token bucket of its rate limit will be full.
    rate_at: datetime | None = None

    @property
    def is_clean(self) -> bool:
        """Whether it equals a new endpoint's, so that a success changes nothing that would have to be written."""
        return replace(self, rate_at=None) == EndpointHealth(self.webhook_id)

    @property
    def is_open(self) -> bool:
        """Whether its breaker is open."""
        return self.open_until is not None

    @property
    def state(self) -> HealthState:
        """The most important of the states that apply."""
        if self.open_until is not None:
            return HealthState.CIRCUIT_OPEN
        if self.failures:
            return HealthState.FAILING
        if self.ramp is not None:
            return HealthState.RECOVERING
        return HealthState.SLOW if self.slow_since is not None else HealthState.HEALTHY

    def is_throttled(self, webhook: WebhookConfig) -> bool:
        """Tell whether its deliveries wait for scheduling slots of its own. The SQL store has the same rule in SQL."""
        waits = (self.turn_at, self.open_until, self.slow_since, webhook.keeps_back_since)
        marks = (*waits, self.ramp, webhook.rate_per_s)
        return webhook.options.is_scheduled or any(each is not None for each in marks)

    def awake(self, *, now: datetime) -> EndpointHealth:
        """Give it a slot now unless it has one coming, since a delivery was throttled.

        One that is to come for a batch comes now: with this delivery the batch may be another.
        """
        has_one = self.turn_at is not None and not (self.gathering and self.turn_at > now)
        return self if has_one else replace(self, turn_at=now)

    def with_batch_due(self, moment: datetime) -> EndpointHealth:
        """Give it a slot at that moment at the latest, since a batch is to be sent again then."""
        if self.turn_at is not None and self.turn_at <= moment:
            return self
        return replace(self, turn_at=moment, gathering=True)

    def slowed(self, *, now: datetime) -> EndpointHealth:
        """Move it to the slow lane."""
        return replace(self, slow_since=self.slow_since if self.slow_since is not None else now, quick=0)

    def fresh(self, *, now: datetime) -> EndpointHealth:
        """Start anew, since a person has changed the endpoint; a slot now takes up what is throttled."""
        return EndpointHealth(self.webhook_id, turn_at=now, rate_at=self.rate_at)


def after_change(
    health: EndpointHealth, before: WebhookConfig, after: WebhookConfig, *, now: datetime
) -> EndpointHealth:
    """Return the health once a person has changed the endpoint.

    Enabled again, or with another URL, it starts anew. Resumed, or with other limits or options, it has a slot now.
    """
    seen_to = after.is_active and (not before.is_active or after.address != before.address)
    if seen_to and not health.is_clean:
        return health.fresh(now=now)
    resumed = before.keeps_back_since is not None and after.keeps_back_since is None
    limits = (before.rate_per_s, before.max_concurrency) != (after.rate_per_s, after.max_concurrency)
    options = before.options != after.options
    if resumed or (limits and health.turn_at is not None) or options:
        return replace(health, turn_at=now, awaiting_room=False, gathering=False)
    return health


def cap(health: EndpointHealth, webhook: WebhookConfig, rules: HealthRules) -> int:
    """Return how many POSTs to the endpoint may be under way at once."""
    most = webhook.max_concurrency if webhook.max_concurrency is not None else rules.concurrency
    return most if health.ramp is None else min(most, health.ramp)
