"""Pauses, the slow lane, and what a person's change to an endpoint lets go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.conformance.model.throttling import claim, claim_slots, dispatch, endpoint, open_breaker, settle
from tests.support.builders import an_attempt_result

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_a_paused_endpoint_s_deliveries_wait_until_it_resumes(world: World) -> None:
    """Held, pending, without a turn; then they go."""
    webhook = endpoint(world, paused_at=datetime.now(UTC))
    [waiting] = dispatch(world, webhook)
    assert (len(claim(world, [waiting])), claim_slots(world)) == (0, [])
    assert world.deliveries.count_throttled(limit=9).quick == 0
    world.change(replace(webhook, paused_at=None))
    assert [each.delivery.id for each in claim_slots(world)] == [waiting]


def test_a_pause_holds_what_was_dispatched_before(world: World) -> None:
    """A delivery that is due already is held when a worker comes to it."""
    webhook = endpoint(world)
    [waiting] = dispatch(world, webhook)
    world.change(replace(webhook, paused_at=datetime.now(UTC)))
    assert claim(world, [waiting]).throttled == 1
    assert claim_slots(world) == []


def test_an_attempt_that_takes_long_sends_the_endpoint_to_the_slow_lane(world: World) -> None:
    """From then on its deliveries go in the slow lane's turns only, until five quick attempts in a row."""
    webhook = endpoint(world)
    dispatch(world, webhook)
    settle(world, list(claim(world)), an_attempt_result(duration_ms=1500))
    dispatch(world, webhook, 6)
    assert (len(claim(world)), claim_slots(world)) == (0, [])
    settle(world, claim_slots(world, slow=True, limit=5), an_attempt_result())
    assert len(claim_slots(world)) == 1


def test_one_that_is_marked_slow_is_slow_at_once(world: World) -> None:
    """Before its attempt has ended."""
    webhook, other = endpoint(world), endpoint(world)
    ids = [*dispatch(world, webhook), *dispatch(world, other)]
    world.deliveries.mark_slow({webhook.id})
    claimed = claim(world, ids)
    assert [each.webhook.id for each in claimed] == [other.id]
    assert claimed.slow_slots_due
    assert [each.webhook.id for each in claim_slots(world, slow=True)] == [webhook.id]


def test_a_disabled_endpoint_s_held_deliveries_are_skipped(breaking: World) -> None:
    """With the reason, whether they were held or not, at once."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    ids = dispatch(breaking, webhook, 3)
    breaking.change(replace(webhook, enabled=False))
    for each in ids:
        stored = breaking.read(webhook.workspace_id, each)
        assert (stored.status, stored.error_message, stored.held) == (DeliveryStatus.SKIPPED, "Webhook disabled", False)


def test_an_endpoint_that_a_person_has_seen_to_starts_anew(breaking: World) -> None:
    """A new URL, or being enabled again, closes the breaker: what is held goes."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 3)
    breaking.change(replace(webhook, url="https://elsewhere.example/"))
    assert len(claim_slots(breaking)) == 3


def test_a_limit_that_is_lifted_lets_go_what_it_held(world: World) -> None:
    """Without waiting for the turn that the limit had set."""
    webhook = endpoint(world, rate_limit_per_s=0.01)
    dispatch(world, webhook, 3)
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]
    world.change(replace(webhook, rate_limit_per_s=None))
    assert len(claim_slots(world)) == 2
