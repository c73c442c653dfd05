"""How slots are used: which endpoints have one now, how much each may claim in it, and its health afterwards.

An endpoint has a slot once its ``turn_at`` has come. Both stores keep these rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from noteflow_hooks.domain.health.scheduling import after_slot, allowed_now, fair_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from datetime import datetime, timedelta

    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class OwnSlot:
    """The slot of an endpoint whose health is locked."""

    webhook: WebhookConfig
    health: EndpointHealth
    #: The moment by the store's clock.
    now: datetime
    #: How many of its POSTs may start now.
    room: int
    #: How many of its deliveries may be claimed in this slot: its share of all that may.
    share: int

    def used(self, claimed: int, *, lease_slack: timedelta, again: timedelta | None = None) -> EndpointHealth:
        """Return the health once so many were claimed; ``again`` says when to look for what is left."""
        after = after_slot(
            self.health,
            self.webhook,
            room=self.room,
            share=self.share,
            claimed=claimed,
            now=self.now,
            lease=self.webhook.lease(lease_slack),
        )
        return after if again is None or after.turn_at is not None else replace(after, turn_at=self.now + again)


def deal_out(
    endpoints: Sequence[tuple[WebhookConfig, EndpointHealth, int]], *, limit: int, now: datetime, rules: HealthRules
) -> list[OwnSlot]:
    """Deal out ``limit`` places among endpoints, each given with how many POSTs it has in flight."""
    rooms = [
        allowed_now(health, webhook, in_flight=in_flight, now=now, rules=rules)
        for webhook, health, in_flight in endpoints
    ]
    return [
        OwnSlot(webhook, health, now, room, share)
        for (webhook, health, _), room, share in zip(endpoints, rooms, fair_shares(rooms, limit=limit), strict=True)
    ]


def in_fair_order(items: Iterable[ItemT], *, owner: Callable[[ItemT], Hashable]) -> list[ItemT]:
    """Return the items with every owner's first one before any owner's second, otherwise in the order given."""
    seen: Counter[Hashable] = Counter()
    ranked: list[tuple[int, ItemT]] = []
    for each in items:
        seen[owner(each)] += 1
        ranked.append((seen[owner(each)], each))
    return [each for _, each in sorted(ranked, key=lambda ranking: ranking[0])]


def has_slot(health: EndpointHealth, *, slow: bool, now: datetime) -> bool:
    """Tell whether the endpoint has a slot now, in the slow lane or in the quick one."""
    return health.turn_at is not None and health.turn_at <= now and (health.slow_since is not None) == slow
