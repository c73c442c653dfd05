"""One event with what became of it, and what every list takes, over a real channel."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import refused
from tests.support.builders import NOON, a_delivery, an_event

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

WRONG = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def stored(world: World, *, sent_to: list[str] | None = None, **fields: Any) -> str:
    """Store an event that was matched with endpoints, and a delivery for each of these."""
    fields = {"dispatched_at": NOON, **fields}
    dispatched_at = fields.pop("dispatched_at")
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id, **fields))
        for webhook_id in sent_to or ():
            unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook_id), event_id=event.id, response_body="no"))
        unit.commit()
    tables = world.store.tables
    tables.events[event.id] = replace(tables.events[event.id], dispatched_at=dispatched_at)
    return str(event.id)


def read(world: World, event_id: str, **fields: Any) -> pb.GetEventResponse:
    return world.client.events.GetEvent(pb.GetEventRequest(event_id=event_id, **fields))


def reasons(answer: pb.GetEventResponse) -> dict[str, str]:
    return {each.webhook_id: each.reason for each in answer.without_delivery}


def test_an_event_is_read_with_its_deliveries_and_why_others_have_none(world: World) -> None:
    """As of now; the answers to the deliveries are left out, for there may be hundreds."""
    has_it, other = world.a_webhook(name="has"), world.a_webhook(name="other")
    event_id = stored(world, sent_to=[has_it.id])
    later = world.a_webhook(name="later")
    answer = read(world, event_id)
    assert (answer.event.id, json.loads(answer.event.payload)["meeting_id"]) == (event_id, "m-1")
    [delivery] = answer.deliveries
    assert (delivery.webhook_id, delivery.reason) == (has_it.id, "Due; waits for a worker")
    assert not delivery.HasField("response_body")
    assert reasons(answer) == {later.id: "created_after_event", other.id: "not_subscribed"}
    assert [each.name for each in answer.without_delivery] == ["later", "other"]


def test_an_endpoint_does_not_hear_of_its_own_trouble(world: World) -> None:
    """And GetEvent says so."""
    failing, other = world.a_webhook(), world.a_webhook()
    payload = json.dumps({"event": "webhook.failing", "webhook_id": failing.id, "reason": "x"}).encode()
    event_id = stored(world, event_type="webhook.failing", meeting_id=None, payload=payload)
    assert reasons(read(world, event_id)) == {failing.id: "own_trouble", other.id: "not_subscribed"}


def test_an_event_that_waits_says_nothing_of_endpoints(world: World) -> None:
    """Each of them may still get it."""
    world.a_webhook()
    answer = read(world, stored(world, dispatched_at=None))
    assert (list(answer.deliveries), list(answer.without_delivery)) == ([], [])
    assert not answer.event.HasField("dispatched_at")


def test_endpoints_are_looked_at_page_by_page(world: World) -> None:
    """Those with a delivery count too; the deliveries come with the first answer alone."""
    webhooks = [world.a_webhook().id for _ in range(5)]
    event_id = stored(world, sent_to=[webhooks[3]])
    pages = [read(world, event_id, page_size=2)]
    while pages[-1].next_page_token:
        pages.append(read(world, event_id, page_size=2, page_token=pages[-1].next_page_token))
    assert [len(page.deliveries) for page in pages] == [1, 0, 0]
    assert [each.webhook_id for page in pages for each in page.without_delivery] == [
        webhooks[at] for at in (4, 2, 1, 0)
    ]


def test_what_can_not_be_read_is_refused(world: World) -> None:
    """By the field's name; another workspace's event is not there."""
    event_id = stored(world)
    with refused(WRONG, "event_id"):
        read(world, "x")
    with refused(WRONG, "page_size: is 101; allowed are 1 to 100, and 0 for 50"):
        read(world, event_id, page_size=101)
    with refused(NOT_FOUND, "no event"):
        read(world, str(uuid4()))
    with world.stranger() as stranger, refused(NOT_FOUND, f"event_id: no event {event_id} in this workspace"):
        stranger.events.GetEvent(pb.GetEventRequest(event_id=event_id))


def test_events_are_listed_by_type_meeting_and_time(world: World) -> None:
    """Filters that are refused are named."""
    one = stored(world, event_type="recording.started", meeting_id="m-7")
    stored(world, event_type="recording.stopped", meeting_id="m-7")
    stored(world, event_type="recording.started", meeting_id="m-8")

    def listed(**fields: Any) -> list[str]:
        return [each.id for each in world.client.events.ListEvents(pb.ListEventsRequest(**fields)).events]

    assert listed(event_type="recording.started", meeting_id="m-7") == [one]
    assert len(listed(event_type="", meeting_id="")) == 3
    [newest, *_] = world.client.events.ListEvents(pb.ListEventsRequest()).events
    assert listed(created_after=newest.created_at) == [newest.id]
    assert len(listed(created_before=newest.created_at)) == 2
    for fields, name in (({"event_type": "nonsense"}, "event_type"), ({"meeting_id": "m" * 256}, "meeting_id")):
        with refused(WRONG, name):
            listed(**fields)


@pytest.mark.parametrize(
    ("service", "method", "field"),
    [
        ("meetings", "ListMeetings", "meetings"),
        ("webhooks", "ListWebhooks", "webhooks"),
        ("webhooks", "ListDeliveries", "deliveries"),
        ("webhooks", "ListUndelivered", "undelivered"),
        ("webhooks", "ListReplays", "replays"),
        ("events", "ListEvents", "events"),
    ],
)
def test_every_list_takes_how_ids_begin_and_counts(world: World, service: str, method: str, field: str) -> None:
    """The count is of all pages, and is there where it is asked for."""
    webhooks = [world.a_webhook() for _ in range(3)]
    stored(world, sent_to=[each.id for each in webhooks])
    for _ in range(2):
        world.a_meeting()
        stored(world)
        world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest())
    call = getattr(getattr(world.client, service), method)
    request = getattr(pb, f"{method}Request")
    everything = call(request(with_total=True))
    rows = getattr(everything, field)
    assert (everything.total, len(rows) >= 2) == (len(rows), True)
    first = call(request(page_size=1, with_total=True))
    assert (len(getattr(first, field)), first.total) == (1, len(rows))
    assert call(request()).total == 0
    name = "delivery_id" if field == "undelivered" else "id"
    whole = getattr(rows[0], name)
    found = call(request(id_prefix=whole, with_total=True))
    assert ([getattr(each, name) for each in getattr(found, field)], found.total) == ([whole], 1)
    with refused(WRONG, "id_prefix: must be how an id begins"):
        call(request(id_prefix="%"))
