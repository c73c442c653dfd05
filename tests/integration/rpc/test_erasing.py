"""Erasing a meeting's payloads, over a real channel."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.builders import a_delivery, an_event

if TYPE_CHECKING:
    from tests.support.wire_client import WireClient

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def _erase(client: WireClient, meeting_id: str) -> tuple[int, int]:
    answer = client.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=meeting_id))
    return answer.events, answer.skipped


def _deliver(world: World, **fields: Any) -> tuple[str, str]:  # noqa: ANN401 - a delivery's own
    """Store an endpoint, an event of meeting ``m-1`` and a delivery; return the event's and the delivery's id."""
    webhook = world.a_webhook()
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id))
        made = unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook.id), event_id=event.id, **fields))
        unit.commit()
    return str(event.id), str(made.id)


def _get(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))


def test_a_meetings_payloads_are_erased_and_what_waits_is_skipped(world: World) -> None:
    """The answer counts both; the event says since when it has no payload, the delivery why it was not sent."""
    before = datetime.now(UTC)
    event_id, waiting = _deliver(world)
    _, done = _deliver(world, status=DeliveryStatus.DEAD, next_attempt_at=None, response_body="you said: Weekly")
    assert _erase(world.client, "m-1") == (2, 1)
    listed = world.client.events.ListEvents(pb.ListEventsRequest()).events
    [event] = [each for each in listed if each.id == event_id]
    assert event.payload == "{}"
    assert before <= event.payload_erased_at.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
    skipped = _get(world, waiting)
    assert (skipped.status, skipped.reason, skipped.payload) == ("skipped", "Payload erased", "{}")
    dead = _get(world, done)
    assert (dead.status, dead.HasField("response_body")) == ("dead", False)


def test_an_event_with_its_payload_says_nothing_of_erasing(world: World) -> None:
    """The field is absent while the payload is there."""
    _deliver(world)
    [event] = world.client.events.ListEvents(pb.ListEventsRequest()).events
    assert not event.HasField("payload_erased_at")


def test_the_meeting_itself_stays_as_it_is(world: World) -> None:
    """Its title and its summary are not in the events, and are not touched."""
    meeting = world.a_meeting("Weekly")
    summary = pb.Summary(executive_summary="All is well.", key_points=["one"])
    world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id, summary=summary))
    world.stop_meeting(meeting.id)
    before = world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id))
    assert _erase(world.client, meeting.id) == (2, 0)
    assert world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id)) == before
    assert {event.payload for event in world.events()} == {b"{}"}


def test_a_meeting_without_events_is_no_error(world: World) -> None:
    """Erasing twice, or what was never there, erases nothing."""
    _deliver(world)
    assert _erase(world.client, "never heard of") == (0, 0)
    assert _erase(world.client, "m-1") == (1, 1)
    assert _erase(world.client, "m-1") == (0, 0)


def test_another_workspaces_meeting_is_not_touched(world: World) -> None:
    """Meetings kept elsewhere may have the same id in two workspaces."""
    event_id, delivery_id = _deliver(world)
    with world.stranger() as stranger:
        assert _erase(stranger, "m-1") == (0, 0)
    assert _get(world, delivery_id).status == "pending"
    [event] = world.client.events.ListEvents(pb.ListEventsRequest()).events
    assert (event.id, event.payload != "{}") == (event_id, True)


@pytest.mark.parametrize(
    ("meeting_id", "problem"),
    [
        ("", "must not be empty"),
        (" ", "must not be empty"),
        ("m\0", "must not contain the character NUL"),
        ("m" * 256, "has 256 characters; at most 255 are allowed"),
    ],
)
def test_what_is_no_meetings_id_is_refused(world: World, meeting_id: str, problem: str) -> None:
    """The line names the field and what is wrong."""
    with refused(INVALID, "meeting_id", problem):
        _erase(world.client, meeting_id)


def test_without_webhooks_it_says_what_is_switched_off() -> None:
    """As every call of the service."""
    with World(webhooks=False) as world, refused(grpc.StatusCode.FAILED_PRECONDITION, "WEBHOOKS_ENABLED"):
        _erase(world.client, "m-1")


def test_the_log_says_what_was_erased(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One line, which what a meeting is called can't break."""
    with caplog.at_level(logging.INFO, logger="noteflow_hooks"):
        _erase(world.client, "m\nforged")
    assert "meeting 'm\\nforged': 0 payloads erased on request, 0 deliveries skipped" in caplog.text
