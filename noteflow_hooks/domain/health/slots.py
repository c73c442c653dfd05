"""How slots are used: which endpoints have one now, how much each may claim in it, and its health afterwards.

An endpoint has a slot once its ``turn_at`` has come. Both stores keep these rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from noteflow_hooks.domain.health.scheduling import MEMBERS_PER_SLOT, after_slot, allowed_now, fair_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig

ItemT = TypeVar("ItemT")


class SlotUse(NamedTuple):
    """What a slot was used for."""

    #: How many POSTs were claimed.
    posts: int = 0
    #: When more may go that waits for something else than room; see :func:`after_slot`.
    ready_at: datetime | None = None

    def again_at(self, moment: datetime | None) -> SlotUse:
        """Return the same, where something else may go at that moment, too."""
        moments = [each for each in (self.ready_at, moment) if each is not None]
        return self._replace(ready_at=min(moments, default=None))


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
    #: Whether its deliveries go in batches, or some wait as a batch since they once did.
    is_batched: bool = False

    def for_batches(self) -> OwnSlot:
        """Return the slot of an endpoint with batches: it takes on no more deliveries than one statement should."""
        most = max(1, MEMBERS_PER_SLOT // max(1, self.webhook.options.batch_max))
        return replace(self, share=min(self.share, most), is_batched=True)

    def used(self, use: SlotUse, *, lease_slack: timedelta) -> EndpointHealth:
        """Return the health once the slot was used."""
        return after_slot(
            self.health,
            self.webhook,
            room=self.room,
            share=self.share,
            claimed=use.posts,
            now=self.now,
            lease=self.webhook.lease(lease_slack),
            ready_at=use.ready_at,
        )


def deal_out(
    endpoints: Sequence[tuple[WebhookConfig, EndpointHealth, int]],
    *,
    limit: int,
    now: datetime,
    rules: HealthRules,
    batched: Collection[UUID] = (),
) -> list[OwnSlot]:
    """Deal out ``limit`` places among endpoints, each given with how many POSTs it has in flight.

    ``batched`` are those whose deliveries go in batches, or some of which wait as a batch.
    """
    rooms = [
        allowed_now(health, webhook, in_flight=in_flight, now=now, rules=rules)
        for webhook, health, in_flight in endpoints
    ]
    slots = [
        OwnSlot(webhook, health, now, room, share)
        for (webhook, health, _), room, share in zip(endpoints, rooms, fair_shares(rooms, limit=limit), strict=True)
    ]
    return [each.for_batches() if each.webhook.id in batched else each for each in slots]


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
