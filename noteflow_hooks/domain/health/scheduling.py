"""Scheduling of a throttled endpoint: how many of its deliveries may go now, and when its next slot is."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules, cap
from noteflow_hooks.domain.rate import TokenBucket, full_in_s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from noteflow_hooks.domain.webhooks import WebhookConfig

#: An endpoint's deliveries beyond this number in a round of dispatching are throttled: a flood waits for its own slots.
BURST: Final = 50
#: A POST that has been under way for so long has stalled. An endpoint with so many stalled ones gets no more until
#: one ends: it must not take all the threads before it is known to be slow.
STALLED_AFTER: Final = timedelta(seconds=0.2)
STALLED_LIMIT: Final = 10
#: The most endpoints whose slots one claim serves.
ENDPOINTS_PER_CLAIM: Final = 20
#: The most deliveries that one slot claims of an endpoint whose deliveries go in batches.
MEMBERS_PER_SLOT: Final = 1_000
#: How far a rate may be bunched: one delivery, and as many as it allows in this time, may go at once.
_RATE_BURST_S: Final = 0.1
#: An endpoint without room has its next slot after this at the latest.
ROOM_POLL: Final = timedelta(seconds=1)


def allowed_now(
    health: EndpointHealth, webhook: WebhookConfig, *, in_flight: int, now: datetime, rules: HealthRules
) -> int:
    """Return how many of its POSTs may start now, while ``in_flight`` are under way.

    Where too many of those have stalled, ``in_flight`` is the largest number there is, so that there is no room.
    """
    if not webhook.is_active:
        # Its deliveries are skipped, which needs no room.
        return sys.maxsize
    if webhook.keeps_back_since is not None:
        return 0
    room = max(0, cap(health, webhook, rules) - in_flight)
    if webhook.rate_per_s is not None:
        room = min(room, _allowed(health, webhook.rate_per_s, now))
    if health.open_until is None:
        return room
    probing = health.probing_until is not None and now < health.probing_until
    return 0 if now < health.open_until or probing else min(room, 1)


def after_slot(
    health: EndpointHealth,
    webhook: WebhookConfig,
    *,
    room: int,
    share: int,
    claimed: int,
    now: datetime,
    lease: timedelta,
    ready_at: datetime | None = None,
) -> EndpointHealth:
    """Return the health after a slot in which ``claimed`` deliveries were claimed, each leased for ``lease``.

    The endpoint had ``room`` for so many POSTs, and its ``share`` of the claim allowed so many of these. What waits for
    something else than room, as for others of its batch, goes at ``ready_at``.
    """
    after = replace(health, awaiting_room=False, gathering=False)
    if webhook.is_active and webhook.keeps_back_since is not None:
        return replace(after, turn_at=None)
    rate = webhook.rate_per_s
    if rate is not None:
        after = _used(after, claimed, rate, now)
    if webhook.is_active and health.open_until is not None:
        after = replace(after, probing_until=now + lease) if claimed else after
        if waits := [each for each in (after.open_until, after.probing_until) if each is not None and each > now]:
            return replace(after, turn_at=max(waits))
    if claimed < share:
        # No more of them may go. Where the breaker is open, the next delivery that comes is the probe.
        return replace(after, turn_at=ready_at, gathering=ready_at is not None)
    if share < room:
        return replace(after, turn_at=now)
    if rate is not None and not _allowed(after, rate, now):
        return replace(after, turn_at=now + _next_allowance(after, rate, now))
    # The next attempt that ends brings the slot forward; one that ended during this slot could not.
    return replace(after, turn_at=now + ROOM_POLL, awaiting_room=True)


def is_awaited(health: EndpointHealth, webhook: WebhookConfig, *, gathered: int, now: datetime) -> bool:
    """Tell whether a slot that is to come for a batch is to come now, since deliveries were made for its endpoint.

    ``gathered`` of its deliveries wait for others by now.
    """
    if not health.gathering or health.turn_at is None or health.turn_at <= now:
        return False
    options = webhook.options
    return gathered >= options.batch_max or health.turn_at > now + timedelta(milliseconds=options.batch_wait_ms)


def fair_shares(rooms: Sequence[int], *, limit: int) -> list[int]:
    """Divide ``limit`` permits evenly; what some have no room for goes to the others, earlier ones first."""
    dealt = [0] * len(rooms)
    wanting = [index for index, room in enumerate(rooms) if room > 0]
    while limit > 0 and wanting:
        part = max(1, limit // len(wanting))
        for index in wanting:
            more = min(part, rooms[index] - dealt[index], limit)
            dealt[index] += more
            limit -= more
        wanting = [index for index in wanting if dealt[index] < rooms[index]]
    return dealt


def _allowed(health: EndpointHealth, rate: float, now: datetime) -> int:
    """Return how many the rate allows now."""
    return _bucket(rate).available(full_in_s(health.rate_at, now=now))


def _used(health: EndpointHealth, count: int, rate: float, now: datetime) -> EndpointHealth:
    return replace(health, rate_at=_bucket(rate).full_at_after(count, full_at=health.rate_at, now=now))


def _next_allowance(health: EndpointHealth, rate: float, now: datetime) -> timedelta:
    """Return how long until half a burst may go: a slot for each delivery would cost more than the deliveries."""
    bucket = _bucket(rate)
    half = max(1, math.floor(bucket.burst / 2))
    wait = timedelta(seconds=bucket.wait_s(half, full_in_s=full_in_s(health.rate_at, now=now)))
    return max(wait, timedelta(milliseconds=1))


def _bucket(rate: float) -> TokenBucket:
    """Return the bucket of an endpoint: it holds one delivery, and what lets a late slot catch up."""
    return TokenBucket(rate, burst=1 + rate * _RATE_BURST_S)
