"""What was accepted and not delivered, and why: for a list, and for a single delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter, Position
from noteflow_hooks.domain.skipping import DELETED, DISABLED
from noteflow_hooks.errors import PreconditionError
from tests.support.builders import NOON, a_failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.paging import Undelivered
    from tests.conformance.model.world import World


def undelivered(
    world: World,
    workspace_id: UUID,
    *,
    limit: int = 99,
    after: Undelivered | None = None,
    **criteria: Any,  # noqa: ANN401 - the filter's fields
) -> Sequence[Undelivered]:
    position = None if after is None else Position(after.created_at, after.id)
    with world.units() as unit:
        return unit.deliveries.undelivered_page(workspace_id, DeliveryFilter(**criteria), limit=limit, after=position)


def reasons(world: World, *deliveries: WebhookDelivery) -> Mapping[UUID, str]:
    with world.units() as unit:
        return unit.deliveries.reasons(deliveries)


def reason(world: World, delivery: WebhookDelivery, workspace_id: UUID) -> str:
    return reasons(world, world.read(workspace_id, delivery.id))[delivery.id]


def test_what_has_not_succeeded_is_undelivered(world: World) -> None:
    """In whichever other state, whole and newest first; what has succeeded is not in the list."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, max_retries=1)
    made = [world.dispatched(world.event(workspace_id))[0] for _ in range(3)]
    world.attempt(made[0].id)
    assert world.settle(world.claim(made[1].id), a_failure())
    world.claim(made[2].id)
    disabled = world.change(replace(webhook, enabled=False))
    [skipped] = world.dispatched(world.event(workspace_id))
    world.change(replace(disabled, enabled=True))
    made += world.dispatched(world.event(workspace_id))
    rows = undelivered(world, workspace_id)
    assert [each.delivery and each.delivery.status for each in rows] == [
        DeliveryStatus.PENDING,
        DeliveryStatus.SKIPPED,
        DeliveryStatus.SENDING,
        DeliveryStatus.DEAD,
    ]
    assert [each.id for each in rows] == [made[3].id, skipped.id, made[2].id, made[1].id]
    assert [each.delivery for each in rows] == [world.read(workspace_id, each.id) for each in rows]
    assert [(each.event_id, each.created_at) for each in rows[:1]] == [(made[3].event_id, made[3].created_at)]


def test_an_event_that_waits_for_dispatch_is_undelivered(world: World) -> None:
    """Also while a large fan-out is under way, beside the deliveries that were made by then."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id)
    event = world.event(workspace_id)
    [row] = undelivered(world, workspace_id)
    assert (row.id, row.event_id, row.event_type, row.delivery) == (event.id, event.id, "meeting.completed", None)
    assert row.created_at == event.created_at
    assert world.deliveries.dispatch([event.id], limit=2).more
    rows = undelivered(world, workspace_id)
    assert [each.delivery is None for each in rows] == [False, False, True]
    world.dispatched(event)
    assert [each.delivery is None for each in undelivered(world, workspace_id)] == [False] * 3


def test_an_event_that_nobody_subscribed_to_is_no_longer_undelivered(world: World) -> None:
    """It is dispatched, with nothing to deliver."""
    workspace_id = world.workspace()
    world.dispatched(world.event(workspace_id))
    assert undelivered(world, workspace_id) == []


def test_the_undelivered_are_narrowed(world: World) -> None:
    """By type and time; with an endpoint, events that wait are left out, since nobody knows theirs yet."""
    workspace_id = world.workspace()
    one, other = world.webhook(workspace_id), world.webhook(workspace_id)
    event = world.event(workspace_id)
    by_endpoint = {each.webhook_id: each.id for each in world.dispatched(event)}
    waiting = world.event(workspace_id, event_type="summary.generated")
    assert waiting.created_at is not None
    world.event(world.workspace())
    everything = {waiting.id, *by_endpoint.values()}
    for criteria, expected in (
        ({}, everything),
        ({"webhook_id": one.id}, {by_endpoint[one.id]}),
        ({"webhook_id": uuid4()}, set()),
        ({"event_type": "summary.generated"}, {waiting.id}),
        ({"event_type": "meeting.completed", "webhook_id": other.id}, {by_endpoint[other.id]}),
        ({"created_after": waiting.created_at}, {waiting.id}),
        ({"created_before": waiting.created_at}, everything - {waiting.id}),
        ({"status": DeliveryStatus.DEAD}, everything),
    ):
        assert {each.id for each in undelivered(world, workspace_id, **criteria)} == expected, criteria


def test_pages_of_the_undelivered_hold_each_once(world: World) -> None:
    """Events and deliveries in one order, the deliveries of one moment too."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id)
    for _ in range(2):
        world.dispatched(world.event(workspace_id))
    first, _ = (world.event(workspace_id) for _ in range(2))
    # Takes both events, and gets as far as the first one's second endpoint.
    assert world.deliveries.dispatch([first.id], limit=2).more
    whole = undelivered(world, workspace_id)
    assert len(whole) == len({each.id for each in whole}) == 10
    assert sum(each.delivery is None for each in whole) == 2
    seen: list[Undelivered] = []
    while page := undelivered(world, workspace_id, limit=3, after=seen[-1] if seen else None):
        seen += page
    assert seen == list(whole)


def test_a_delivery_that_has_succeeded_needs_no_reason(world: World) -> None:
    """All others have one, each its own."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, max_retries=1)
    made = [world.dispatched(world.event(workspace_id))[0] for _ in range(3)]
    world.attempt(made[0].id)
    assert world.settle(world.claim(made[1].id), a_failure())
    said = reasons(world, *(world.read(workspace_id, each.id) for each in made))
    assert said == {made[1].id: "Max retries exceeded: HTTP 500", made[2].id: "Due; waits for a worker"}
    assert reasons(world) == {}


def test_a_reason_tells_of_the_endpoint_as_it_is_now(world: World) -> None:
    """Of its pause, its breaker and its end."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    delivery, other = (world.dispatched(world.event(workspace_id))[0] for _ in range(2))
    breaking = world.under(breaker_failures=1)
    assert breaking.settle(breaking.claim(other.id), a_failure(), wait=timedelta(0))
    assert "circuit breaker is open after 1 failed" in reason(world, delivery, workspace_id)
    webhook = world.change(replace(webhook, paused_at=NOON))
    assert "paused since 2024-01-31 12:00:00 UTC" in reason(world, delivery, workspace_id)
    world.delete(webhook)
    assert reason(world, delivery, workspace_id) == DELETED.message


def test_what_is_sent_again_says_so(world: World) -> None:
    """A forced one waits for nothing but a worker."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, enabled=False)
    [delivery] = world.dispatched(world.event(workspace_id))
    assert reason(world, delivery, workspace_id) == DISABLED.message
    world.change(replace(webhook, enabled=True, paused_at=NOON))
    again = world.send_again(workspace_id, delivery.id)
    assert (again.forced, again.held) == (True, False)
    assert reasons(world, again)[delivery.id].startswith("Due, as was asked for")
    assert len(world.deliveries.claim([delivery.id], limit=1, lease_slack=timedelta(seconds=1))) == 1


def test_a_refused_redelivery_leaves_no_record(world: World) -> None:
    """Of one that is under way, or whose endpoint is disabled."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, enabled=False)
    [delivery] = world.dispatched(world.event(workspace_id))
    with world.units() as unit:
        with pytest.raises(PreconditionError, match="is disabled; enable it"):
            unit.deliveries.send_again(workspace_id, delivery.id)
        unit.commit()
    with world.units() as unit:
        assert list(unit.deliveries.redeliveries(delivery.id)) == []
