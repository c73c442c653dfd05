"""A server without webhooks: meetings work as before, and the other two services name the setting."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.persistence.memory import InMemoryUnitOfWork
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, a_stream, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire_client import WireClient

SETTING = "NOTEFLOW_HOOKS_WEBHOOKS_ENABLED"


def test_with_webhooks_off_meetings_work_and_record_nothing() -> None:
    """The other services name the setting."""
    with World(webhooks=False) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000), "One.")
            assert stream.finish().duration_seconds == 1.0
        world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id))
        assert world.stop_meeting(meeting.id).has_summary
        assert world.event_types() == []
        for call in _calls_about_webhooks(world.client):
            with refused(grpc.StatusCode.FAILED_PRECONDITION, SETTING):
                call()


def test_a_store_without_webhooks_is_as_good_as_none() -> None:
    """The unit of work says what it supports."""

    class Bare(InMemoryUnitOfWork):
        supports_webhooks = False

    with World(units=lambda store: lambda: Bare(store)) as world:
        for call in _calls_about_webhooks(world.client)[1:]:
            with refused(grpc.StatusCode.FAILED_PRECONDITION, SETTING):
                call()


def _calls_about_webhooks(client: WireClient) -> list[Callable[[], object]]:
    """Return one valid call of each RPC of the two services."""
    some_id = str(UUID(int=0))
    hooks, events = client.webhooks, client.events
    mask = FieldMask(paths=["enabled"])
    payload = '{"meeting_id": "m", "title": "t"}'
    return [
        lambda: hooks.RegisterWebhook(pb.RegisterWebhookRequest(url="https://a.example/")),
        lambda: hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=some_id)),
        lambda: hooks.ListWebhooks(pb.ListWebhooksRequest()),
        lambda: hooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=some_id, update_mask=mask)),
        lambda: hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=some_id)),
        lambda: hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=some_id)),
        lambda: hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=some_id)),
        lambda: hooks.VerifyWebhook(pb.VerifyWebhookRequest(webhook_id=some_id)),
        lambda: hooks.ConfirmContact(pb.ConfirmContactRequest(webhook_id=some_id, code="AAAA")),
        lambda: hooks.ListDeliveries(pb.ListDeliveriesRequest()),
        lambda: hooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=some_id)),
        lambda: hooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=some_id)),
        lambda: hooks.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=some_id)),
        lambda: events.PublishEvent(pb.PublishEventRequest(event_type="recording.started", payload_json=payload)),
        lambda: events.ListEvents(pb.ListEventsRequest()),
    ]
