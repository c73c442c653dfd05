"""An event's trace, in both stores: it is stored with the event, and comes with each claim of its deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.delivery.tracing import traces_of
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.telemetry.traceparent import TraceContext
from tests.conformance.model.world import SLACK
from tests.support.builders import an_event

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from tests.conformance.model.world import World

TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER: Final = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def stored(world: World, events: list[Event], *, at_once: bool) -> list[UUID]:
    with world.units() as unit:
        kept = unit.events.append_many(events) if at_once else [unit.events.append(each) for each in events]
        unit.commit()
    return [each.id for each in kept if not isinstance(each, Exception)]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("meeting_id", [None, "m"])
def test_an_event_keeps_its_trace(world: World, meeting_id: str | None, *, at_once: bool) -> None:
    """Beside others that have none, whichever way it is stored; and it is read back with it."""
    workspace_id = world.workspace()
    kept = [TRACEPARENT, None, OTHER]
    events = [an_event(workspace_id=workspace_id, meeting_id=meeting_id, traceparent=each) for each in kept]
    ids = stored(world, events, at_once=at_once)
    with world.units() as unit:
        found = [unit.events.get_by_id(each) for each in ids]
    assert [each.traceparent for each in found if each is not None] == kept


@pytest.mark.parametrize("claims", [0, 9])
@pytest.mark.parametrize("options", [EndpointOptions(), EndpointOptions(format=Format.CLOUDEVENTS)])
def test_a_claim_has_its_events_trace(world: World, options: EndpointOptions, *, claims: int) -> None:
    """Leased as it is made or claimed later, also where nothing else of the event is needed; others have none."""
    webhook = world.webhook(world.workspace(), options=options)
    events = [an_event(workspace_id=webhook.workspace_id, traceparent=each) for each in (TRACEPARENT, None)]
    ids = stored(world, events, at_once=True)
    page = world.deliveries.dispatch(ids, limit=9, claim=claims, lease_slack=SLACK)
    found = page.claims or [world.claim(each) for each in page.delivery_ids]
    traces = {each.delivery.event_id: [trace.context for trace in traces_of(each)] for each in found}
    assert traces == {ids[0]: [TraceContext.read(TRACEPARENT)], ids[1]: []}
    [since] = [each.facts.trace.since for each in found if each.facts is not None and each.facts.trace is not None]
    with world.units() as unit:
        event = unit.events.get_by_id(ids[0])
    assert event is not None
    assert since == event.created_at


@pytest.mark.parametrize("is_fresh", [False, True])
def test_a_batch_has_the_traces_of_its_events(world: World, *, is_fresh: bool) -> None:
    """Each once, leased whole as it is made or put together later."""
    webhook = world.webhook(world.workspace(), options=EndpointOptions(batch_max=4))
    kept = (TRACEPARENT, None, TRACEPARENT, OTHER)
    ids = stored(world, [an_event(workspace_id=webhook.workspace_id, traceparent=each) for each in kept], at_once=True)
    page = world.deliveries.dispatch(ids, limit=9, claim=9 * is_fresh, batches=is_fresh, lease_slack=SLACK)
    [batch] = page.claims or world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    found = {each.context for each in traces_of(batch)}
    assert found == {TraceContext.read(TRACEPARENT), TraceContext.read(OTHER)}
