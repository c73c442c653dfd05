"""From domain values to messages. An endpoint's secret goes out only where a caller asks for it by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import WebhookAttempt, WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.meetings import Meeting, Summary
    from noteflow_hooks.domain.webhooks import WebhookConfig


def meeting_message(meeting: Meeting, summary: Summary | None = None) -> pb.Meeting:
    """Return a meeting, with its summary where one is given."""
    return pb.Meeting(
        id=str(meeting.id),
        workspace_id=str(meeting.workspace_id),
        title=meeting.title,
        state=meeting.state,
        created_at=_time(meeting.created_at),
        stopped_at=_time(meeting.stopped_at),
        duration_seconds=meeting.duration_seconds,
        segment_count=meeting.segment_count,
        has_summary=meeting.has_summary,
        summary=None if summary is None else summary_message(summary),
    )


def summary_message(summary: Summary) -> pb.Summary:
    """Return a summary."""
    return pb.Summary(
        executive_summary=summary.executive_summary,
        key_points=summary.key_points,
        action_items=summary.action_items,
    )


def webhook_message(webhook: WebhookConfig, *, secret: str | None = None) -> pb.Webhook:
    """Return an endpoint; ``secret`` only for the call that made or changed it."""
    return pb.Webhook(
        id=str(webhook.id),
        workspace_id=str(webhook.workspace_id),
        name=webhook.name,
        url=webhook.url,
        events=webhook.events,
        enabled=webhook.enabled,
        timeout_ms=webhook.timeout_ms,
        max_retries=webhook.max_retries,
        created_at=_time(webhook.created_at),
        updated_at=_time(webhook.updated_at),
        disabled_reason=webhook.disabled_reason,
        secret=secret,
        secret_hint=webhook.secret_hint,
        signed=webhook.secret is not None or webhook.secret_unavailable,
        secret_unavailable=webhook.secret_unavailable,
        previous_secret_expires_at=_time(webhook.previous_secret_expires_at),
    )


def delivery_message(
    delivery: WebhookDelivery, *, payload: str | None = None, attempts: Iterable[WebhookAttempt] = ()
) -> pb.Delivery:
    """Return a delivery, with its payload and attempts where they are given."""
    return pb.Delivery(
        id=str(delivery.id),
        webhook_id=str(delivery.webhook_id),
        event_id=str(delivery.event_id),
        event_type=delivery.event_type,
        status=delivery.status,
        status_code=delivery.status_code,
        response_body=delivery.response_body,
        error_message=delivery.error_message,
        attempt_count=delivery.attempt_count,
        duration_ms=delivery.duration_ms,
        next_attempt_at=_time(delivery.next_attempt_at),
        lease_expires_at=_time(delivery.lease_expires_at),
        delivered_at=_time(delivery.delivered_at),
        created_at=_time(delivery.created_at),
        payload=payload,
        attempts=map(attempt_message, attempts),
    )


def attempt_message(attempt: WebhookAttempt) -> pb.Attempt:
    """Return an attempt."""
    return pb.Attempt(
        id=str(attempt.id),
        delivery_id=str(attempt.delivery_id),
        attempt_number=attempt.attempt_number,
        started_at=_time(attempt.started_at),
        duration_ms=attempt.duration_ms,
        status_code=attempt.status_code,
        response_body=attempt.response_body,
        error_kind=attempt.error_kind,
        error_message=attempt.error_message,
    )


def event_message(event: Event) -> pb.Event:
    """Return an event."""
    return pb.Event(
        id=str(event.id),
        workspace_id=str(event.workspace_id),
        event_type=event.event_type,
        meeting_id=event.meeting_id,
        target_webhook_id=None if event.target_webhook_id is None else str(event.target_webhook_id),
        payload=event.payload.decode(),
        idempotency_key=event.idempotency_key,
        occurred_at=_time(event.occurred_at),
        created_at=_time(event.created_at),
        dispatched_at=_time(event.dispatched_at),
    )


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
