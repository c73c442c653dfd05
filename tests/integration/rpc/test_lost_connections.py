"""Every RPC after PostgreSQL has cut all connections, as a restart does: its first call is answered, and done once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.challenges import Verification
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import a_dead_delivery, a_skipped_delivery, code_of
from tests.integration.rpc.methods import METHODS, Method, calling
from tests.integration.rpc.sqlworld import all_rows, connected
from tests.integration.rpc.world import FORMAT
from tests.support.builders import a_payload, a_webhook
from tests.support.contacts import ADDRESS
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.rpc.world import World

_URL: Final = "https://receiver.example/lost"


def _event(world: World) -> str:
    published = pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(a_payload()))
    return world.client.events.PublishEvent(published).id


def _replay(world: World) -> str:
    webhook = world.a_webhook()
    a_skipped_delivery(world, webhook)
    return world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook.id)).id


def _event_type(world: World) -> str:
    return world.client.events.PutEventType(pb.PutEventTypeRequest(name="custom.order", schema="{}")).name


def _unverified(world: World) -> str:
    with world.units() as unit:
        asked = Verification(datetime.now(UTC))
        stored = unit.webhooks.create(a_webhook(workspace_id=world.workspace_id, verification=asked))
        unit.commit()
    return str(stored.id)


def _asked(world: World) -> dict[str, str]:
    webhook_id = world.a_webhook(contact=ADDRESS).id
    return {"webhook_id": webhook_id, "code": code_of(world, webhook_id)}


#: What each RPC is called with.
CALLS: Final[dict[str, Callable[[World], dict[str, Any]]]] = {
    "CreateMeeting": lambda _: {"title": "Weekly", "request_id": "r-1"},
    "GetMeeting": lambda world: {"meeting_id": world.a_meeting().id},
    "ListMeetings": lambda _: {"with_total": True},
    "StopMeeting": lambda world: {"meeting_id": world.a_meeting().id},
    "GenerateSummary": lambda world: {
        "meeting_id": world.a_meeting().id,
        "summary": pb.Summary(executive_summary="Fine."),
    },
    "StreamAudioSegments": lambda world: {"meeting_id": world.a_meeting().id, "format": FORMAT, "audio": bytes(1000)},
    "RegisterWebhook": lambda _: {"url": _URL, "events": ["meeting.completed"], "request_id": "r-2"},
    "GetWebhook": lambda world: {"webhook_id": world.a_webhook().id},
    "ListWebhooks": lambda _: {"with_total": True},
    "UpdateWebhook": lambda world: {
        "webhook_id": world.a_webhook().id,
        "update_mask": FieldMask(paths=["url"]),
        "url": _URL,
    },
    "DeleteWebhook": lambda world: {"webhook_id": world.a_webhook().id},
    "RotateWebhookSecret": lambda world: {"webhook_id": world.a_webhook(generate_secret=True).id},
    "TestWebhook": lambda world: {"webhook_id": world.a_webhook().id},
    "PreviewPayload": lambda world: {"event_id": _event(world), "format": "cloudevents"},
    "VerifyWebhook": lambda world: {"webhook_id": _unverified(world)},
    "ConfirmContact": _asked,
    "ListDeliveries": lambda _: {"with_total": True},
    "WatchDeliveries": lambda _: {},
    "GetDelivery": lambda world: {"delivery_id": a_skipped_delivery(world, world.a_webhook())},
    "ListUndelivered": lambda _: {"with_total": True},
    "RedeliverDelivery": lambda world: {"delivery_id": a_skipped_delivery(world, world.a_webhook())},
    "SkipDelivery": lambda world: {"delivery_id": a_dead_delivery(world, world.a_webhook())},
    "ReplayDeliveries": lambda world: {"webhook_id": world.a_webhook().id},
    "GetReplay": lambda world: {"replay_id": _replay(world)},
    "ListReplays": lambda _: {"with_total": True},
    "CancelReplay": lambda world: {"replay_id": _replay(world)},
    "WhoAmI": lambda _: {},
    "GetSystemState": lambda _: {},
    "GetStats": lambda _: {"with_now": True, "with_event_types": True},
    "PreviewFilter": lambda world: {"filter": "true", "webhook_id": world.a_webhook().id},
    "PublishEvent": lambda _: {"event_type": "meeting.completed", "payload_json": json.dumps(a_payload())},
    "PublishEvents": lambda _: {
        "requests": [pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(a_payload()))] * 2
    },
    "ListEvents": lambda _: {"with_total": True},
    "WatchEvents": lambda _: {},
    "GetEvent": lambda world: {"event_id": _event(world)},
    "EraseMeetingPayloads": lambda _: {"meeting_id": "m-1"},
    "ListAuditEntries": lambda _: {"with_total": True},
    "ListEventTypes": lambda _: {},
    "GetEventType": lambda world: {"name": _event_type(world)},
    "PutEventType": lambda _: {"name": "custom.order_paid", "schema": "{}"},
    "DeleteEventType": lambda world: {"name": _event_type(world)},
}
#: How many rows each adds to the tables that grow by calls.
ADDED: Final[dict[str, dict[str, int]]] = {
    "CreateMeeting": {"meetings": 1, "request_ids": 1},
    "StopMeeting": {"webhook_events": 1, "meeting_sequences": 1},
    "GenerateSummary": {"webhook_events": 1, "meeting_sequences": 1, "summaries": 1},
    "StreamAudioSegments": {"webhook_events": 2, "meeting_sequences": 1, "recordings": 1},
    "RegisterWebhook": {"webhook_configs": 1, "webhook_health": 1, "request_ids": 1, "audit_log": 1},
    "UpdateWebhook": {"audit_log": 1},
    "DeleteWebhook": {"audit_log": 1},
    "RotateWebhookSecret": {"audit_log": 1},
    "TestWebhook": {"webhook_events": 1, "audit_log": 1},
    "VerifyWebhook": {"audit_log": 1},
    "ConfirmContact": {"audit_log": 1},
    "RedeliverDelivery": {"stats_resent": 1, "webhook_redeliveries": 1, "audit_log": 1},
    "SkipDelivery": {"audit_log": 1},
    "ReplayDeliveries": {"webhook_replays": 1, "audit_log": 1},
    "CancelReplay": {"audit_log": 1},
    "EraseMeetingPayloads": {"audit_log": 1},
    "PublishEvent": {"webhook_events": 1},
    "PublishEvents": {"webhook_events": 2},
    "PutEventType": {"event_types": 1, "audit_log": 1},
    "DeleteEventType": {"event_types": -1, "audit_log": 1},
}


@pytest.mark.usefixtures("known_tokens")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_first_call_after_all_connections_were_cut_is_done_and_done_once(
    stored_world: World, database_url: str, method: Method
) -> None:
    """Or it is answered with UNAVAILABLE, and then changes nothing."""
    fields = CALLS[method.name](stored_world)
    with calling(stored_world.address, stored_world.token) as caller:
        before = _counts(database_url)
        _cut_all(database_url)
        code, line, _ = caller.call(method, **fields)
    after = _counts(database_url)
    added = {name: count - before[name] for name, count in after.items() if count != before[name]}
    assert (code, added) in (
        (grpc.StatusCode.OK, ADDED.get(method.name, {})),
        (grpc.StatusCode.UNAVAILABLE, {}),
    ), line


def _counts(url: str) -> dict[str, int]:
    # What waits is counted with `webhook_deliveries`, which has it in view: sending again and erasing move rows between
    # the two, and a row that was copied in place of moved would be one more.
    return {name: len(rows) for name, rows in all_rows(url).items() if name != "delivery_queue"}


def _cut_all(url: str) -> None:
    """End all sessions but our own, and wait until they are gone."""
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    with connected(url) as connection:
        ended = connection.execute(f"SELECT pid, pg_terminate_backend(pid) {others}").fetchall()
        pids = [pid for pid, _ in ended]
        # The server's own jobs may open new ones.
        left = "SELECT FROM pg_stat_activity WHERE pid = ANY(%s)"
        until(lambda: not connection.execute(left, [pids]).fetchall(), what="the sessions have ended")
