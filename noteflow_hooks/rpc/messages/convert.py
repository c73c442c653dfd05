"""From values to messages. A secret is in a message only where it is passed in, a header's value never."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.application.filters import ERASED
from noteflow_hooks.domain.filters import FilterAnswer
from noteflow_hooks.domain.ordering import is_blocked
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.application.deliveries import DeliveryView, UndeliveredView
    from noteflow_hooks.application.event_types import EventTypeView
    from noteflow_hooks.application.events import EndpointLook
    from noteflow_hooks.application.filters import Preview
    from noteflow_hooks.application.previews import RequestView
    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.audit.entries import AuditEntry, Details
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.exchanges import Pairs
    from noteflow_hooks.domain.meetings import Meeting, Summary
    from noteflow_hooks.domain.replays import Redelivery, Replay

#: The most bytes of headers in a delivery's message.
_HEADERS_BYTES: Final = 1_048_576
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def meeting_message(meeting: Meeting, summary: Summary | None = None) -> pb.Meeting:
    """Return a meeting, with its summary if it has one."""
    return pb.Meeting(
        id=str(meeting.id),
        workspace_id=str(meeting.workspace_id),
        title=meeting.title,
        state=meeting.state,
        created_at=time_message(meeting.created_at),
        stopped_at=time_message(meeting.stopped_at),
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


def delivery_message(view: DeliveryView) -> pb.Delivery:
    """Return a delivery, with the reason why it is not delivered, and what else the view has of it."""
    delivery = view.delivery
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
        next_attempt_at=None if is_blocked(delivery) else time_message(delivery.next_attempt_at),
        lease_expires_at=time_message(delivery.lease_expires_at),
        delivered_at=time_message(delivery.delivered_at),
        created_at=time_message(delivery.created_at),
        payload=None if view.payload is None else view.payload.decode(),
        attempts=_attempts(view.attempts),
        reason=view.reason,
        redeliveries=map(redelivery_message, view.redeliveries),
        skip_reason=delivery.skip_reason,
        error_kind=delivery.error_kind,
        sequence=delivery.sequence,
        gap=delivery.gap,
        out_of_order=delivery.out_of_order,
        waits_for_earlier=is_blocked(delivery),
        rendering=delivery.rendering,
        batch_id=_text(delivery.batch_id),
    )


def briefly(view: DeliveryView) -> pb.Delivery:
    """Return a delivery without the answer to it: hundreds of those would not fit into one message."""
    message = delivery_message(view)
    message.ClearField("response_body")
    return message


def preview_message(view: RequestView) -> pb.PreviewPayloadResponse:
    """Return a request that would be made."""
    return pb.PreviewPayloadResponse(
        headers=_headers(view.headers),
        body=view.body,
        format=view.rendering.format,
        payload_version=view.rendering.payload_version,
        renderer=view.rendering.renderer,
    )


def endpoint_message(look: EndpointLook) -> pb.EndpointWithoutDelivery:
    """Return an endpoint and why it has no delivery; without a reason where it has one."""
    return pb.EndpointWithoutDelivery(webhook_id=str(look.id), name=look.webhook.name, reason=look.not_sent or "")


def _attempts(attempts: Sequence[WebhookAttempt]) -> list[pb.Attempt]:
    """Return a delivery's attempts; of too many the oldest have no headers, since a message has its limit."""
    messages, room = [], _HEADERS_BYTES
    for each in reversed(attempts):
        message = attempt_message(each)
        room -= sum(header.ByteSize() for header in (*message.request_headers, *message.response_headers))
        if room < 0:
            message.ClearField("request_headers")
            message.ClearField("response_headers")
        messages.append(message)
    return messages[::-1]


def attempt_message(attempt: WebhookAttempt) -> pb.Attempt:
    """Return an attempt."""
    return pb.Attempt(
        **attempt.times._asdict(),
        request_headers=_headers(attempt.request_headers),
        response_headers=_headers(attempt.response_headers),
        id=str(attempt.id),
        delivery_id=str(attempt.delivery_id),
        attempt_number=attempt.attempt_number,
        started_at=time_message(attempt.started_at),
        duration_ms=attempt.duration_ms,
        status_code=attempt.status_code,
        response_body=attempt.response_body,
        error_kind=attempt.error_kind,
        error_message=attempt.error_message,
        redialled=attempt.redialled,
        batch_id=_text(attempt.batch_id),
    )


def _headers(pairs: Pairs) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in pairs]


def redelivery_message(redelivery: Redelivery) -> pb.Redelivery:
    """Return the record of one redelivery."""
    return pb.Redelivery(
        requested_at=time_message(redelivery.requested_at),
        replay_id=_text(redelivery.replay_id),
        previous_status=redelivery.previous_status,
        after_attempt=redelivery.after_attempt,
    )


def watch_message(view: DeliveryView | None, *, at: datetime, missed: int) -> pb.WatchDeliveriesResponse:
    """Return what a watch tells; without a delivery it is a heartbeat."""
    delivery = None if view is None else delivery_message(view)
    return pb.WatchDeliveriesResponse(delivery=delivery, at=time_message(at), missed=missed)


def undelivered_message(view: UndeliveredView) -> pb.Undelivered:
    """Return what was not delivered, and why."""
    row = view.undelivered
    message = pb.Undelivered(
        event_id=str(row.event_id),
        event_type=row.event_type,
        status="undispatched",
        reason=view.reason,
        created_at=time_message(row.created_at),
    )
    if row.delivery is not None:
        delivery = row.delivery
        message.MergeFrom(
            pb.Undelivered(
                delivery_id=str(delivery.id),
                webhook_id=str(delivery.webhook_id),
                status=delivery.status,
                attempt_count=delivery.attempt_count,
                next_attempt_at=None if is_blocked(delivery) else time_message(delivery.next_attempt_at),
            )
        )
    return message


def replay_message(replay: Replay, *, dry_run: bool = False) -> pb.Replay:
    """Return a replay; a dry run is one that has neither an id nor a beginning."""
    criteria = replay.criteria
    return pb.Replay(
        id="" if dry_run else str(replay.id),
        workspace_id=str(replay.workspace_id),
        webhook_id=_text(criteria.webhook_id),
        event_type=criteria.event_type,
        status=criteria.status,
        statuses=sorted(criteria.statuses),
        event_id=None if criteria.event_id is None else str(criteria.event_id),
        meeting_id=criteria.meeting_id,
        error_kind=criteria.error_kind,
        status_code=criteria.status_code,
        skip_reason=criteria.skip_reason,
        id_prefix=None if criteria.ids is None else criteria.ids.prefix,
        created_after=time_message(criteria.created_after),
        created_before=time_message(criteria.created_before),
        rate_per_s=replay.rate_per_s,
        state="dry_run" if dry_run else replay.state,
        matched=replay.matched,
        sent=replay.sent,
        created_at=None if dry_run else time_message(replay.created_at),
        finished_at=time_message(replay.finished_at),
        include_filtered=replay.include_filtered,
    )


def filter_preview_message(preview: Preview) -> pb.PreviewFilterResponse:
    """Return what a filter says of stored events."""
    return pb.PreviewFilterResponse(
        events=[
            pb.FilterPreview(
                event_id=str(each.event.id),
                event_type=each.event.event_type,
                created_at=time_message(each.event.created_at),
                verdict=each.verdict,
                reason=each.reason,
            )
            for each in preview.events
        ],
        matched=preview.count(FilterAnswer.MATCHED),
        filtered=preview.count(FilterAnswer.FILTERED),
        errors=preview.count(FilterAnswer.ERROR),
        erased=preview.count(ERASED),
    )


def event_type_message(view: EventTypeView) -> pb.EventType:
    """Return a type of the catalogue."""
    return pb.EventType(
        name=view.name,
        description=view.description,
        since=view.since,
        deprecated=view.deprecated,
        schema=view.schema,
        example=view.example,
        payload_version=view.payload_version,
        payload_versions=view.payload_versions,
        created_at=time_message(view.created_at),
        updated_at=time_message(view.updated_at),
    )


def event_message(event: Event) -> pb.Event:
    """Return an event."""
    return pb.Event(
        id=str(event.id),
        workspace_id=str(event.workspace_id),
        event_type=event.event_type,
        meeting_id=event.meeting_id,
        target_webhook_id=_text(event.target_webhook_id),
        payload=event.payload.decode(),
        idempotency_key=event.idempotency_key,
        occurred_at=time_message(event.occurred_at),
        created_at=time_message(event.created_at),
        dispatched_at=time_message(event.dispatched_at),
        payload_erased_at=time_message(event.payload_erased_at),
        sequence=event.sequence,
    )


def audit_message(entry: AuditEntry) -> pb.AuditEntry:
    """Return an entry of the audit trail."""
    return pb.AuditEntry(
        id=str(entry.id),
        at=time_message(entry.at),
        workspace_id=str(entry.workspace_id),
        actor_kind=entry.actor_kind,
        actor=entry.actor,
        actor_hint=entry.actor_hint,
        action=entry.action,
        target_kind=entry.target_kind,
        target_id=entry.target_id,
        old=_details(entry.old),
        new=_details(entry.new),
        request_id=entry.request_id,
    )


def _details(details: Details) -> str | None:
    return None if details is None else json.dumps(details, ensure_ascii=False, separators=(",", ":"))


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)


def time_message(moment: datetime | None) -> Timestamp | None:
    """Return the moment, if there is one."""
    if moment is None:
        return None
    # As Timestamp.FromDatetime does it, in a third of its time.
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)
