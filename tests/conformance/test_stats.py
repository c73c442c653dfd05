"""Figures: what is counted of events, attempts and deliveries, once each, and how it is read."""

# ruff: noqa: ANN401 - an override is whatever type its field has

from __future__ import annotations

from collections import Counter
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


def run(world: World, workspace_id: UUID) -> list[WebhookConfig]:
    """Have deliveries of two endpoints end in each way there is; count in between."""
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
        if number % 4 == 1:
            world.keeper.roll_up()
    return endpoints


def _failure(duration_ms: int, **overrides: Any) -> dict[str, Any]:
    result = a_failure(duration_ms=duration_ms, **overrides)
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


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
    world.keeper.roll_up()
    world.keeper.roll_up()
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
    world.keeper.roll_up()
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
