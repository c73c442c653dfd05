"""Who may be claimed: what an endpoint's cap, rate, breaker, pause, lane and turns let through, at each claim."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.conformance.model.ledger import with_challenge
from tests.conformance.model.rows import due_of, keeps_back, rate_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.health.state import HealthRules
    from tests.conformance.model.delivery_tracks import Endpoint, Span, Track
    from tests.conformance.model.ledger import Ledger
    from tests.conformance.model.rows import Rows

#: Beside one, what a rate allows in so many seconds may go at once.
_RATE_BURST_S = 0.1


def check_claim(claim: Claim, track: Track, *, ledger: Ledger, before: Rows, span: Span, slack: timedelta) -> None:
    """Check one claim, and note it."""
    # Where there is none, it was claimed as it was made.
    row = before.deliveries.get(claim.delivery.id)
    webhook, event = before.webhooks[track.webhook_id], ledger.events[track.event_id]
    assert track.status == "pending", "claimed while somebody has it, or after its end"
    assert row is None or (due_of(row) or span.latest) <= span.latest, "claimed before it is due"
    assert claim.delivery.claim_no == track.claim_no + 1
    assert claim.asks_filter == ledger.asks_filter(track), "a filter is asked again, or not at all"
    lease = span.after(slack).after(timedelta(milliseconds=webhook.timeout_ms))
    challenge = ledger.asked_with(track, before)
    assert claim.payload == (b"{}" if event.is_erased else with_challenge(event.payload, challenge))
    skip = claim.reason_to_skip()
    assert (skip and skip.message) == ledger.reason_to_skip(track, before, lease=lease)
    url = (shown(webhook).pending_url if challenge else None) or webhook.url
    assert (claim.webhook.url, claim.webhook.max_retries) == (url, webhook.max_retries)
    assert webhook.deleted_at or claim.webhook.secret == ledger.endpoints[webhook.id].secret
    assert shown(webhook).is_verified or track.asks or not webhook.enabled, "sent to an endpoint that is not verified"
    wanted = ledger.wanted(webhook.id)
    if track.batch is not None:
        # Chosen with the batch, whatever its endpoint wants by now.
        wanted = ledger.batches[track.batch].rendering.stored
    track.claim(most=webhook.max_retries, reason=skip and skip.message, lease=lease, wanted=wanted)
    assert claim.delivery.rendering == track.rendering, "rendered otherwise than the attempt before, or than is wanted"
    assert (claim.facts is None) == (track.rendering is None)


def check_endpoint(
    webhook_id: UUID, going: Sequence[Track], *, ledger: Ledger, before: Rows, span: Span, by_turn: bool, slow: bool
) -> None:
    """Check that so many may go to one endpoint that nobody asked for by name, and note them."""
    webhook, health = before.webhooks[webhook_id], before.health[webhook_id]
    assert not keeps_back(webhook), "claimed for an endpoint that is paused, or not verified"
    if by_turn:
        assert (health.slow_since is not None) == slow, "claimed in the other lane"
        assert health.turn_at is not None, "claimed without a turn"
        assert health.turn_at <= span.latest, "claimed before its turn"
    else:
        alone = [each for each in going if each.batch is None]
        assert not alone or not before.is_throttled(webhook_id), "claimed past the endpoint's gate"
        assert len(alone) == len(going) or before.leases_batches(webhook_id), "a batch past the endpoint's gate"
        sizes = Counter(each.batch for each in going if each.batch is not None)
        assert not webhook.batch_wait_ms or set(sizes.values()) <= {webhook.batch_max}, "it was to wait for others"
    endpoint = ledger.endpoints[webhook_id]
    in_flight = before.posts(webhook_id)
    posts = len(requests(going))
    assert in_flight + posts <= cap(before, webhook_id, ledger.rules), "more under way than the cap allows"
    if endpoint.open_until is not None:
        others = [each for each in ledger.under_way(webhook_id) if each not in going]
        _check_probe(endpoint, going, others, span)
    rate = rate_of(webhook)
    if rate is not None:
        endpoint.paced += [span] * posts
        _check_rate(endpoint, rate)


def requests(tracks: Iterable[Track]) -> set[object]:
    """Return what tells the POSTs of these deliveries apart: a batch is one."""
    return {each.batch if each.batch is not None else id(each) for each in tracks}


def cap(rows: Rows, webhook_id: UUID, rules: HealthRules) -> int:
    """Return how many may be under way to an endpoint at once."""
    own = rows.webhooks[webhook_id].max_concurrency
    most = rules.concurrency if own is None else own
    ramp = rows.health[webhook_id].ramp
    return int(most if ramp is None else min(most, ramp))


def _check_probe(endpoint: Endpoint, going: Sequence[Track], under_way: Sequence[Track], span: Span) -> None:
    assert endpoint.open_until is not None
    assert span.latest >= endpoint.open_until.earliest, "claimed while the breaker is open"
    assert len(requests(going)) == 1, "more than one probe"
    lasting = [
        each for each in under_way if each.is_probe and each.lease is not None and each.lease.earliest > span.latest
    ]
    assert not lasting, "a second probe while the first one is under way"
    for each in going:
        each.is_probe = True


def _check_rate(endpoint: Endpoint, rate: float) -> None:
    """Check the newest one against every stretch of time that ends with it."""
    last = endpoint.paced[-1].latest
    for nth, each in enumerate(reversed(endpoint.paced), start=1):
        allowed = 1 + rate * (_RATE_BURST_S + (last - each.earliest).total_seconds())
        # Moments have microseconds only.
        assert nth <= math.floor(allowed + 0.001), f"{nth} within {last - each.earliest} at {rate} a second"
