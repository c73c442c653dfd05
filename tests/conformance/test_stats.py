"""Figures: what is counted of events, attempts and deliveries, once each, and how it is read."""

# ruff: noqa: ANN401 - an override is whatever type its field has

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.application.stats import StatsView, read_stats
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.stats import SUCCEEDED, Measure, StatsQuery, bin_of, span_of
from tests.support.builders import a_failure, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

_DURATIONS = (0, 1, 2, 4, 40, 99, 100, 101, 5_000, 30_000, 61_000)


def stats(world: World, workspace_id: UUID, **query: Any) -> StatsView:
    """Return what is counted of the last day, and now."""
    now = datetime.now(UTC) + timedelta(minutes=1)
    span, bucket = span_of(now - hours(24), now, query.pop("bucket", None), now=now)
    with world.units() as unit:
        asked = StatsQuery(span=span, bucket=bucket, with_event_types=True, with_now=True, **query)
        return read_stats(unit, workspace_id, asked)


def run(world: World, workspace_id: UUID, *, counts: bool = True) -> list[WebhookConfig]:
    """Have deliveries of two endpoints end in each way there is, and count in between."""
    world = world.under(slow_after=hours(1))
    endpoints = [world.webhook(workspace_id, max_retries=2), world.webhook(workspace_id, max_retries=1)]
    for number, duration in enumerate(_DURATIONS):
        for delivery in world.dispatched(world.event(workspace_id)):
            if (number + (delivery.webhook_id == endpoints[1].id)) % 3:
                world.attempt(delivery.id, duration_ms=duration)
            else:
                world.attempt(delivery.id, **_failure(duration))
                if delivery.webhook_id == endpoints[0].id:
                    world.attempt(delivery.id, **_failure(duration, error_kind=ErrorKind.TIMEOUT, status_code=None))
        if counts and number % 4 == 1:
            world.keeper.roll_up()
    return endpoints


def _failure(duration_ms: int, **overrides: Any) -> dict[str, Any]:
    result = a_failure(duration_ms=duration_ms, **overrides)
    return result._asdict()


def _rows(world: World, workspace_id: UUID) -> tuple[Counter[str], list[int], Counter[DeliveryStatus]]:
    """Return the attempts by outcome, their durations, and the deliveries by status, as they are stored."""
    with world.units() as unit:
        deliveries = [
            each
            for event in unit.events.list_page(workspace_id, limit=1000)
            for each in unit.deliveries.get_by_event(event.id)
        ]
        attempts = [one for each in deliveries for one in unit.deliveries.attempts(each.id)]
    kinds = Counter(str(each.error_kind or SUCCEEDED) for each in attempts)
    return kinds, [each.duration_ms for each in attempts], Counter(each.status for each in deliveries)


def test_figures_are_the_sums_of_the_rows(world: World) -> None:
    """Attempts by outcome, durations, events and ended deliveries; another workspace's are not among them."""
    workspace_id = world.workspace()
    run(world, workspace_id)
    run(world, world.workspace())
    world.count()
    kinds, durations, statuses = _rows(world, workspace_id)
    found = stats(world, workspace_id)
    assert found.total.attempts == kinds
    assert found.total.durations == Counter(map(bin_of, durations))
    assert found.total.total_ms == sum(durations)
    assert found.total.events == len(_DURATIONS)
    assert found.total.dead.total() == statuses[DeliveryStatus.DEAD] > 0
    assert found.total.latencies.total() == kinds[SUCCEEDED]
    assert [name for name, _ in found.types] == ["meeting.completed"]
    assert found.types[0][1] == found.total


def test_the_totals_of_all_workspaces_are_the_sums_of_the_rows(world: World) -> None:
    """The running totals: attempts by kind and bin, deliveries that are dead, and how many attempts it took."""
    workspaces = [world.workspace(), world.workspace()]
    for each in workspaces:
        run(world, each)
    world.count()
    kinds: Counter[str] = Counter()
    statuses: Counter[DeliveryStatus] = Counter()
    for each in workspaces:
        own, _, ended = _rows(world, each)
        kinds, statuses = kinds + own, statuses + ended
    totals = _totals(world, Measure.ATTEMPT)
    assert totals == kinds
    assert _totals(world, Measure.DEAD).total() == statuses[DeliveryStatus.DEAD]
    assert _totals(world, Measure.TRIES) == {SUCCEEDED: kinds[SUCCEEDED], "dead": statuses[DeliveryStatus.DEAD]}
    assert _totals(world, Measure.EVENT) == {"meeting.completed": 2 * len(_DURATIONS)}


def _totals(world: World, measure: Measure) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in world.keeper.totals():
        if each.measure == measure:
            found[each.kind] += each.number
    return found


def test_a_purge_lowers_no_total_and_takes_nothing_that_is_not_counted(world: World) -> None:
    """Deliveries and attempts of which nobody had counted one are counted before they go."""
    workspace_id = world.workspace()
    run(world, workspace_id, counts=False)
    kinds, _, statuses = _rows(world, workspace_id)
    world.age(timedelta(days=40))
    week = timedelta(days=7)
    world.retention.erase_payloads(week, limit=100)
    assert world.retention.remove_attempts(week, limit=100).rows
    assert world.retention.remove_events(week, limit=100).rows == len(_DURATIONS)
    assert _rows(world, workspace_id)[0].total() == 0
    world.count()
    assert _totals(world, Measure.ATTEMPT) == kinds
    assert _totals(world, Measure.DEAD).total() == statuses[DeliveryStatus.DEAD]
    assert _totals(world, Measure.EVENT).total() == len(_DURATIONS)


def test_minutes_go_after_two_days_and_hours_after_ninety(world: World) -> None:
    """Until then both tell the same; the totals stay."""
    workspace_id = world.workspace()
    run(world, workspace_id)
    world.count()
    kinds, _, _ = _rows(world, workspace_id)
    world.age(timedelta(days=3))
    while world.retention.remove_minutes(timedelta(days=2), limit=3).cursor is not None:
        pass
    assert world.retention.remove_minutes(timedelta(days=2), limit=3).rows == 0
    assert world.retention.remove_hours(timedelta(days=90), limit=3).rows == 0
    now = datetime.now(UTC)
    span, _ = span_of(now - timedelta(days=4), None, None, now=now)
    with world.units() as unit:
        found = read_stats(unit, workspace_id, StatsQuery(span=span))
    assert found.total.attempts == kinds
    world.age(timedelta(days=90))
    assert world.retention.remove_hours(timedelta(days=90), limit=1000).rows
    assert _totals(world, Measure.ATTEMPT) == kinds


def test_an_end_counts_that_was_undone_before_anybody_had_counted(world: World) -> None:
    """Dead, and sent again at once; and skipped, and sent again: each end is counted once, and so is the next one."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, max_retries=1)
    [delivery] = world.dispatched(world.event(workspace_id))
    world.attempt(delivery.id, **_failure(5))
    world.send_again(workspace_id, delivery.id)
    world.attempt(delivery.id, **_failure(5, error_kind=ErrorKind.TIMEOUT, status_code=None))
    world.count()
    world.send_again(workspace_id, delivery.id)
    world.attempt(delivery.id)
    world.change(replace(webhook, enabled=False))
    world.dispatched(world.event(workspace_id))
    world.count()
    found = stats(world, workspace_id)
    assert found.total.dead == {ErrorKind.STATUS: 1, ErrorKind.TIMEOUT: 1}
    assert found.total.skipped == {"disabled": 1}
    assert found.total.attempts == {ErrorKind.STATUS: 1, ErrorKind.TIMEOUT: 1, SUCCEEDED: 1}
    assert found.total.latencies.total() == 0
    assert found.now is not None
    assert (found.now.dead, found.now.skipped) == ({}, {"disabled": 1})


def test_a_dead_one_that_is_given_up_has_ended_once(world: World) -> None:
    """It was counted when it died; that somebody has given it up since is no second end."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, max_retries=1)
    [delivery] = world.dispatched(world.event(workspace_id))
    world.attempt(delivery.id, **_failure(5))
    world.count()
    with world.units() as unit:
        unit.deliveries.give_up(workspace_id, delivery.id)
        unit.commit()
    world.count()
    found = stats(world, workspace_id)
    assert (found.total.dead, found.total.skipped) == ({ErrorKind.STATUS: 1}, {})
    assert found.now is not None
    assert found.now.skipped == {"given_up": 1}


def test_figures_are_told_by_endpoint_by_type_by_outcome_and_in_time(world: World) -> None:
    """Each narrows what it is about; an endpoint's own say what waits for it, too, and when it last took something."""
    workspace_id = world.workspace()
    first, second = run(world, workspace_id)
    [waiting, other] = world.dispatched(world.event(workspace_id))
    world.attempt(waiting.id if waiting.webhook_id == second.id else other.id)
    world.count()
    all_, own = stats(world, workspace_id), stats(world, workspace_id, webhook_id=first.id)
    asked = {"webhook_ids": [second.id, first.id], "bucket": timedelta(hours=1), "with_endpoint_buckets": True}
    both = stats(world, workspace_id, **asked)
    assert [each.webhook_id for each in both.endpoints] == [second.id, first.id]
    assert [each.facts.waiting for each in both.endpoints] == [0, 1]
    assert all(each.facts.last_success_at is not None for each in both.endpoints)
    assert own.total.attempts == both.endpoints[1].total.attempts
    assert own.total.attempts + both.endpoints[0].total.attempts == all_.total.attempts
    for each in both.endpoints:
        assert [at for at, _ in each.points] == [at for at, _ in both.points]
        assert sum((tally.attempts for _, tally in each.points), Counter()) == each.total.attempts
    assert all(
        not each.points for each in stats(world, workspace_id, **asked | {"with_endpoint_buckets": False}).endpoints
    )
    assert (own.total.events, own.now and own.now.pending) == (0, 1)
    assert all_.now is not None
    assert (all_.now.pending, all_.now.endpoints) == (1, {"healthy": 2})
    assert sum((tally.attempts for _, tally in both.points), Counter()) == all_.total.attempts
    timeouts = stats(world, workspace_id, outcome=ErrorKind.TIMEOUT)
    assert set(timeouts.total.attempts) == {ErrorKind.TIMEOUT}
    assert timeouts.total.durations.total() == timeouts.total.attempts[ErrorKind.TIMEOUT]
    assert stats(world, workspace_id, event_type="recording.started").total.attempts == {}
    assert stats(world, world.workspace(), webhook_ids=[first.id]).endpoints == []
