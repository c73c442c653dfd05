"""What the state machine found once: a probe keeps to every limit, and whoever may go on has a turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.ports.delivery_store import ThrottledCount
from tests.conformance.model.throttling import MINUTE, claim, claim_slots, dispatch, endpoint, settle
from tests.support.builders import a_failure, an_attempt_result

if TYPE_CHECKING:
    from tests.conformance.model.world import World


@pytest.fixture
def fragile(world: World) -> World:
    """Offer a store in which one failure opens a breaker, for a minute."""
    return world.under(breaker_failures=1, breaker_open=MINUTE)


def test_a_probe_keeps_to_the_cap(fragile: World) -> None:
    """While the endpoint's only place is taken there is none; it goes as soon as that is free."""
    webhook = endpoint(fragile, max_concurrency=1)
    [done] = dispatch(fragile, webhook)
    settle(fragile, list(claim(fragile)), an_attempt_result())
    dispatch(fragile, webhook)
    assert len(claim(fragile)) == 1
    fragile.send_again(webhook.workspace_id, done)
    settle(fragile, list(claim(fragile, [done])), a_failure())
    dispatch(fragile, webhook, 2)
    fragile.age(MINUTE)
    assert claim_slots(fragile) == []
    assert fragile.deliveries.reclaim_expired(limit=9) == 1
    assert len(claim_slots(fragile)) == 1


def test_a_probe_keeps_to_the_rate(fragile: World) -> None:
    """One in a hundred seconds: it waits for its time, though the breaker's is over, and uses that up."""
    webhook = endpoint(fragile, rate_limit_per_s=0.01)
    dispatch(fragile, webhook, 3)
    settle(fragile, claim_slots(fragile), a_failure())
    fragile.age(MINUTE)
    assert claim_slots(fragile) == []
    fragile.age(timedelta(seconds=40))
    probe = claim_slots(fragile)
    assert len(probe) == 1
    settle(fragile, probe, an_attempt_result())
    assert claim_slots(fragile) == []


@pytest.mark.parametrize("how", ["taken back", "our fault"])
def test_what_was_under_way_when_the_breaker_opened_makes_no_room_for_a_second_probe(fragile: World, how: str) -> None:
    """That it ends by our own fault says nothing of the probe, which is still under way."""
    webhook = endpoint(fragile)
    dispatch(fragile, webhook, 2)
    failing, old = claim(fragile)
    settle(fragile, [failing], a_failure())
    dispatch(fragile, webhook, 2)
    fragile.age(MINUTE)
    assert len(claim_slots(fragile)) == 1
    if how == "taken back":
        assert fragile.deliveries.reclaim_expired(limit=9) == 1
    else:
        settle(fragile, [old], a_failure(status_code=None, error_kind=ErrorKind.INTERNAL))
    assert claim_slots(fragile) == []


def test_a_new_url_and_the_end_of_a_pause_in_one_change_let_go_what_was_held(world: World) -> None:
    """At once, and not when the sweep finds a forgotten turn."""
    webhook = endpoint(world, paused_at=datetime.now(UTC))
    dispatch(world, webhook, 2)
    world.change(replace(webhook, url="https://elsewhere.example/", paused_at=None))
    assert len(claim_slots(world)) == 2


def test_a_long_backlog_in_one_lane_hides_nothing_in_the_other(world: World) -> None:
    """The limit of what is counted is each lane's own."""
    quick, slow = endpoint(world, rate_limit_per_s=1), endpoint(world)
    world.deliveries.mark_slow({slow.id})
    dispatch(world, quick, 5)
    dispatch(world, slow, 1)
    assert world.deliveries.count_throttled(limit=1) == ThrottledCount(quick=1, slow=1)
    assert world.deliveries.count_throttled(limit=3) == ThrottledCount(quick=3, slow=1)
