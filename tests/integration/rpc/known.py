"""Values by field names, with which most calls to a world are good ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.endpoint_keys import Rotated, Signing
from noteflow_hooks.domain.events import PUBLISHABLE, WebhookEventType
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import generate_secret
from tests.integration.rpc.world import CODES
from tests.support.builders import a_delivery, a_payload, an_event

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

#: Their smallest and their largest, but where one in between is what most calls give.
_NUMBERS: Final[dict[str, list[Any]]] = {
    "sample_rate": [1000, 384_000],
    "channels": [1, 32],
    "bytes_per_sample": [1, 4],
    "audio": [b"", bytes(100)],
    "timeout_ms": [100, 30_000],
    "max_retries": [1, 20],
    "rate_limit_per_s": [0.01, 1000.0],
    "max_concurrency": [1, 1000],
    "rate_per_s": [0.1, 10_000.0],
    "overlap_seconds": [0, 2_592_000],
    "wait_seconds": [0.0, 0.01],
    "start_seconds": [0.0],
    "end_seconds": [0.0, 1e300],
    "seconds": [0, 1_700_000_000],
    "nanos": [0, 999_999_999],
}


def known_values(world: World) -> dict[str, list[Any]]:
    """Return values by field names, with which most calls are good ones."""
    meetings, webhooks = [world.a_meeting() for _ in range(40)], [world.a_webhook() for _ in range(40)]
    deliveries = [a_skipped_delivery(world, each) for each in webhooks]
    page = world.client.meetings.ListMeetings(pb.ListMeetingsRequest(page_size=1))
    payloads = [a_payload(), a_payload(title="\u202e"), a_payload(meeting_id="\r\n"), a_payload(executive_summary="s")]
    return {
        "meeting_id": [each.id for each in meetings],
        # Some that no longer exist are among them soon.
        "webhook_id": [each.id for each in webhooks],
        "delivery_id": deliveries,
        "replay_id": [str(uuid4())],
        "url": ["https://receiver.example/x", "https://receiver.example:8443/?a=b", "http://localhost:1/"],
        "events": list(WebhookEventType),
        "event_type": list(PUBLISHABLE),
        "status": list(DeliveryStatus),
        "statuses": list(DeliveryStatus),
        "error_kind": list(ErrorKind),
        "status_code": [100, 599],
        "state": ["active", "healthy"],
        "secret": ["a-secret-x", generate_secret()],
        "name": ["custom.order_paid", "X-Key", "Weekly"],
        "schema": ['{"type": "object"}'],
        "example": ["{}"],
        "description": ["An order was paid."],
        "payload_version": [1],
        "signing": list(Signing),
        "what": list(Rotated),
        "value": ["text"],
        "title": ["Weekly", "\u202e", "\r\n"],
        "text": ["Ada will call.", "\x1b[2J"],
        "executive_summary": ["Fine.", "\u2028"],
        "payload_json": [json.dumps(each) for each in payloads],
        "idempotency_key": ["k-1", "k-2"],
        "page_token": ["", page.next_page_token],
        "page_size": [0, 1, 500],
        "paths": ["url", "events", "headers", "enabled", "paused", "rate_limit_per_s", "name", "signing"],
        **_NUMBERS,
    }


def a_skipped_delivery(world: World, webhook: pb.Webhook) -> str:
    """Store an event and a delivery of it that was skipped; return its id."""
    return _settled(world, webhook, DeliveryStatus.SKIPPED)


def a_dead_delivery(world: World, webhook: pb.Webhook) -> str:
    """Store an event and a delivery of it that is dead; return its id."""
    return _settled(world, webhook, DeliveryStatus.DEAD)


def _settled(world: World, webhook: pb.Webhook, status: DeliveryStatus) -> str:
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id))
        settled = a_delivery(webhook_id=UUID(webhook.id), event_id=event.id, status=status, next_attempt_at=None)
        made = unit.webhooks.add_delivery(settled)
        unit.commit()
    return str(made.id)


def code_of(world: World, webhook_id: str) -> str:
    """Return the code that was mailed to an endpoint's contact."""
    with world.units() as unit:
        webhook = unit.webhooks.get_by_id(UUID(webhook_id))
    assert webhook is not None
    assert webhook.contact is not None
    return CODES.code(webhook.id, webhook.contact.address, webhook.contact.asked_at)
