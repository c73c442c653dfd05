"""A meeting's events in order, as every store keeps it: what goes, what waits, and what receivers are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.filters import FilterAnswer, Verdict
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.ordering import is_blocked
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.skipping import Skip, SkipReason
from noteflow_hooks.errors import InvalidTransitionError
from tests.conformance.model.ordering import FAILED, IN_ORDER, OK, STOPPING, Stage
from tests.conformance.model.replaying import begin, step
from tests.conformance.model.world import SLACK
from tests.support.builders import EXACT, an_event

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_a_meetings_deliveries_go_one_after_another_and_meetings_beside_each_other(world: World) -> None:
    """However they were dispatched, and whatever was claimed together."""
    stage = Stage(world)
    stage.publish("a1", "b1", "a2", "a3", "b2")
    first = stage.claimed()
    assert stage.names(first) == ["a1", "b1"]
    assert stage.claimed() == []
    [a1] = [each for each in first if stage.names([each]) == ["a1"]]
    stage.settle([a1])
    second = stage.claimed()
    assert stage.names(second) == ["a2"]
    stage.settle([each for each in first if each is not a1] + second)
    assert stage.names(stage.claimed()) == ["a3", "b2"]


def test_each_goes_as_soon_as_its_head_has_gone(world: World) -> None:
    """The settle itself gives the endpoint a slot."""
    stage = Stage(world)
    stage.publish("a1", "a2", "a3")
    for name in ("a1", "a2", "a3"):
        claims = stage.claimed()
        assert stage.names(claims) == [name]
        assert claims[0].rank == Rank(int(name[1]))
        assert stage.claimed() == []
        stage.settle(claims)
    assert stage.claimed() == []


def test_a_head_that_waits_for_its_next_attempt_holds_the_rest(world: World) -> None:
    """Backoff uses no attempt of theirs."""
    stage = Stage(world, max_retries=3)
    events = stage.publish("a1", "a2")
    [claim] = stage.claimed()
    assert world.settle(claim, FAILED, wait=timedelta(hours=1))
    assert stage.claimed() == []
    world.age(timedelta(hours=1))
    # What is due comes with its message, and is left to the endpoint's slot.
    assert len(world.deliveries.claim([claim.delivery.id], limit=1, lease_slack=SLACK)) == 0
    again = stage.claimed()
    assert stage.names(again) == ["a1"]
    stage.settle(again)
    assert stage.drained() == ["a2"]
    assert stage.delivery(events[1]).attempt_count == 1


def test_what_was_given_up_is_told_as_a_gap(world: World) -> None:
    """So many since the last one that the endpoint got, on the next ones until it gets one."""
    stage = Stage(world)
    stage.publish("a1", "a2", "a3", "a4", "a5")
    ranks = []
    for result in (OK, FAILED, FAILED, OK, OK):
        [claim] = stage.claimed()
        ranks.append(claim.rank)
        stage.settle([claim], result)
    assert ranks == [Rank(1), Rank(2), Rank(3, gap=1), Rank(4, gap=2), Rank(5)]


def test_a_dead_one_stops_what_follows_until_it_is_sent_again(world: World) -> None:
    """With the reason, and listed as undelivered; other meetings go on."""
    stage = Stage(world, STOPPING)
    first, second, *_ = stage.publish("a1", "a2", "a3", "b1")
    stage.settle([each for each in stage.claimed() if stage.names([each]) == ["a1"]], FAILED)
    assert stage.claimed() == []
    assert stage.publish("b2")
    assert stage.claimed() == []
    assert "order_stopped" in stage.reason(second)
    assert stage.delivery(second).status is DeliveryStatus.PENDING
    with world.units() as unit:
        listed = unit.deliveries.undelivered_page(stage.workspace_id, DeliveryFilter(), limit=9)
    assert second.id in {each.event_id for each in listed}
    stage.send_again(first)
    again = world.claim(stage.delivery(first).id)
    assert again.rank == Rank(1)
    assert stage.claimed() == []
    stage.settle([again])
    assert stage.drained() == ["a2", "a3"]


@pytest.mark.parametrize("is_dead", [False, True])
def test_one_that_is_given_up_lets_the_rest_go(world: World, *, is_dead: bool) -> None:
    """Dead, or waiting for its next attempt; the next one tells of the gap."""
    stage = Stage(world, STOPPING, max_retries=1 if is_dead else 2)
    first, _ = stage.publish("a1", "a2")
    [claim] = stage.claimed()
    assert world.settle(claim, FAILED, wait=timedelta(hours=1))
    assert stage.claimed() == []
    given_up = stage.give_up(first)
    assert (given_up.status, given_up.skip_reason) == (DeliveryStatus.SKIPPED, SkipReason.GIVEN_UP)
    assert stage.delivery(first).skip_reason is SkipReason.GIVEN_UP
    [following] = stage.claimed()
    assert following.rank == Rank(2, gap=1)


def test_only_what_waits_or_is_dead_can_be_given_up(world: World) -> None:
    """What is under way, or has succeeded, can't; nor twice."""
    stage = Stage(world)
    [event] = stage.publish("a1")
    claims = stage.claimed()
    with pytest.raises(InvalidTransitionError):
        stage.give_up(event)
    stage.settle(claims)
    with pytest.raises(InvalidTransitionError):
        stage.give_up(event)
    [other] = stage.publish("a2")
    stage.give_up(other)
    with pytest.raises(InvalidTransitionError):
        stage.give_up(other)


def test_a_skipped_head_lets_go(world: World) -> None:
    """For whatever reason: not subscribed, here, as its claim finds out."""
    stage = Stage(world)
    stage.publish("a1", "a2")
    [claim] = stage.claimed()
    skipped = claim.delivery.skipped(Skip("Event x not subscribed", SkipReason.NOT_SUBSCRIBED))
    assert world.deliveries.settle([Settlement(skipped)]).fencing_keys
    [following] = stage.claimed()
    assert following.rank == Rank(2)


def test_an_earlier_event_that_is_dispatched_late_goes_first(world: World) -> None:
    """Where the endpoint gets it, and where it doesn't, and no dispatch tells it so."""
    stage = Stage(world)
    late, _ = stage.publish("a1", "a2", dispatch=False)
    [second] = [each for each in stage.events if stage.events[each] == "a2"]
    world.deliveries.dispatch([second], limit=100, events=1)
    assert stage.claimed() == []
    world.dispatched(late)
    world.age(timedelta(seconds=1))
    assert stage.drained() == ["a1", "a2"]

    other = Stage(world, events=["summary.generated"])
    with world.units() as unit:
        early = unit.events.append(an_event(workspace_id=other.workspace_id, meeting_id="a"))
        own = unit.events.append(
            an_event(workspace_id=other.workspace_id, meeting_id="a", event_type="summary.generated")
        )
        unit.commit()
    other.events |= {early.id: "a1", own.id: "a2"}
    world.deliveries.dispatch([own.id], limit=100, events=1)
    assert other.claimed() == []
    world.dispatched(early)
    world.age(timedelta(seconds=1))
    assert other.drained() == ["a2"]


def test_a_head_that_the_filter_holds_back_lets_its_meeting_go(world: World) -> None:
    """It leaves no gap: it was not given up."""
    stage = Stage(world, replace(IN_ORDER, filter="false"))
    first, _ = stage.publish("a1", "a2")
    [head] = stage.claimed()
    assert stage.claimed() == []
    verdict = Verdict(FilterAnswer.FILTERED)
    world.deliveries.settle([head.settlement(verdict, policy=EXACT, draw=lambda: 0.5)])
    assert stage.delivery(first).skip_reason is SkipReason.FILTERED
    [following] = stage.claimed()
    assert following.rank == Rank(2)


@pytest.mark.parametrize("answer", [FilterAnswer.ERROR, FilterAnswer.UNAVAILABLE])
def test_a_head_lets_go_where_the_filter_fails_and_holds_where_it_can_t_be_asked(
    world: World, answer: FilterAnswer
) -> None:
    """The one is skipped; the other is pending still."""
    stage = Stage(world, replace(IN_ORDER, filter="data.no == 1"))
    stage.publish("a1", "a2")
    [head] = stage.claimed()
    world.deliveries.settle([head.settlement(Verdict(answer, "no such field"), policy=EXACT, draw=lambda: 0.5)])
    expected = [] if answer is FilterAnswer.UNAVAILABLE else ["a2"]
    assert stage.names(stage.claimed()) == expected


def test_the_last_one_that_is_sent_again_is_not_late(world: World) -> None:
    """Nothing later has been sent."""
    stage = Stage(world)
    [event] = stage.publish("a1")
    stage.drained()
    stage.send_again(event)
    assert world.claim(stage.delivery(event).id).rank == Rank(1)


def test_switching_the_order_on_counts_from_the_next_claim(world: World) -> None:
    """What is under way holds what waits."""
    stage = Stage(world, EndpointOptions())
    first, *_ = stage.publish("a1", "a2", "a3")
    claim = world.claim(stage.delivery(first).id)
    stage.change(IN_ORDER)
    assert world.deliveries.claim([], limit=9, lease_slack=SLACK).claims == []
    assert stage.claimed() == []
    stage.settle([claim])
    world.deliveries.count_throttled(limit=9)
    assert stage.drained() == ["a2", "a3"]


def test_switching_the_order_off_lets_all_go(world: World) -> None:
    """At once, and together."""
    stage = Stage(world)
    stage.publish("a1", "a2", "a3")
    assert stage.names(stage.claimed()) == ["a1"]
    stage.change(EndpointOptions())
    assert stage.names(stage.claimed()) == ["a2", "a3"]


def test_switching_to_skip_lets_all_go_on(world: World) -> None:
    """In their order."""
    stage = Stage(world, STOPPING)
    stage.publish("a1", "a2", "a3")
    stage.settle(stage.claimed(), FAILED)
    assert stage.claimed() == []
    stage.change(IN_ORDER)
    [claim] = stage.claimed()
    assert claim.rank == Rank(2, gap=1)
    stage.settle([claim])
    assert stage.drained() == ["a3"]


def test_events_about_no_meeting_go_at_any_time(world: World) -> None:
    """They stand in no order."""
    stage = Stage(world)
    stage.publish("a1", "a2")
    free = world.event(stage.workspace_id, meeting_id=None)
    world.dispatched(free)
    stage.events[free.id] = "free"
    assert stage.names(stage.claimed()) == ["a1", "free"]


def test_where_there_is_room_for_one_what_is_due_longest_goes(world: World) -> None:
    """Neither a meeting's events nor those about none keep the others waiting, however many come."""
    stage = Stage(world)

    def free(name: str) -> None:
        event = world.event(stage.workspace_id, meeting_id=None)
        world.dispatched(event)
        stage.events[event.id] = name

    stage.publish("a1", "a2")
    free("1st")
    stage.publish("b1")
    free("2nd")
    went = []
    for _ in range(5):
        claims = stage.claimed(limit=1)
        went += stage.names(claims)
        stage.settle(claims)
    assert went == ["a1", "a2", "1st", "b1", "2nd"]


def test_erasing_a_meeting_lets_go(world: World) -> None:
    """What is under way ends; what comes then is not held."""
    stage = Stage(world)
    stage.publish("a1", "a2")
    claims = stage.claimed()
    with world.units() as unit:
        unit.events.erase_meeting(stage.workspace_id, "a")
        unit.commit()
    stage.publish("a3")
    assert stage.claimed() == []
    stage.settle(claims)
    assert stage.drained() == ["a3"]


def test_a_blocked_one_shows_no_time(world: World) -> None:
    """It is pending, with the reason, and no moment that means nothing."""
    stage = Stage(world)
    _, second = stage.publish("a1", "a2")
    stage.claimed()
    assert is_blocked(stage.delivery(second))
    assert "earlier" in stage.reason(second)


def test_a_dead_one_that_holds_others_is_not_purged(world: World) -> None:
    """Nor its payload; once nothing waits for it any more, it is."""
    stage = Stage(world, STOPPING)
    first, second = stage.publish("a1", "a2")
    stage.settle(stage.claimed(), FAILED)
    assert stage.claimed() == []
    world.age(timedelta(days=2))

    def purged() -> tuple[int, int]:
        day = timedelta(days=1)
        erased = world.retention.erase_payloads(day, limit=9).rows
        return erased, world.retention.remove_events(day, limit=9).rows

    assert purged() == (0, 0)
    stage.give_up(first)
    stage.settle(stage.claimed())
    assert purged() == (2, 2)
    assert world.read_event(second) is None


def test_a_replay_goes_in_the_meetings_order(world: World) -> None:
    """Also past what has been sent, which it says; what is new comes behind it."""
    stage = Stage(world)
    stage.publish(*(f"a{number}" for number in range(1, 6)))
    ranks = []
    for number in range(1, 6):
        [claim] = stage.claimed()
        stage.settle([claim], OK if number == 3 else FAILED)
    begin(world, stage.workspace_id, webhook_id=stage.webhook.id)
    while step(world):
        pass
    stage.publish("a6")
    while claims := stage.claimed():
        ranks += [each.rank for each in claims]
        stage.settle(claims)
    assert [(each.sequence, each.is_late) for each in ranks if each is not None] == [
        (1, True),
        (2, True),
        (4, True),
        (5, False),
        (6, False),
    ]
