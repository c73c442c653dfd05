"""From messages to values of the application; what is wrong raises InvalidInputError that names the field."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from uuid import UUID

from noteflow_hooks.application.endpoints import Registration, check_changeable
from noteflow_hooks.application.events import new_event
from noteflow_hooks.application.previews import PreviewTarget
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.audit.entries import Action, ActorKind, AuditFilter, TargetKind
from noteflow_hooks.domain.event_types import CustomEventType
from noteflow_hooks.domain.events import WebhookEventType, is_custom
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.meetings import AudioFormat, MeetingState, Segment, Summary, check_segment, check_summary
from noteflow_hooks.domain.options import OPTION_FIELDS
from noteflow_hooks.domain.paging import (
    DeliveryFilter,
    EventFilter,
    IdRange,
    MeetingFilter,
    WebhookFilter,
    check_period,
)
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.violations import Violations, check_all
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from noteflow_hooks.application.event_types import OwnTypes
    from noteflow_hooks.domain.deliveries import DeliveryStatus
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

    #: What has the filters of the list of deliveries.
    Narrowed: TypeAlias = pb.ListDeliveriesRequest | pb.ReplayDeliveriesRequest | pb.WatchDeliveriesRequest

E = TypeVar("E", bound=StrEnum)

#: An id's characters: a text of megabytes is no id, whatever stands in it.
_ID_LENGTH: Final = 36
#: The most segments of one message, which are stored together.
_SEGMENTS_LIMIT: Final = 5_000
#: What an answer's status code may be (RFC 9110, 15).
_STATUS_CODES: Final = range(100, 600)
#: The fields that a mask names without a value to take the limit away.
_LIMITS: Final = ("rate_limit_per_s", "max_concurrency")


def parse_id(field: str, value: str) -> UUID:
    """Return the id, which must be written in the usual form, with hyphens."""
    try:
        parsed = UUID(value) if len(value) == _ID_LENGTH else None
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value.lower():
        raise InvalidInputError(field, "must be a UUID such as 01234567-89ab-cdef-0123-456789abcdef")
    return parsed


def parse_time(field: str, value: Timestamp) -> datetime:
    """Return the moment."""
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(field, "must be a time from year 1 to 9999") from None


def parse_event(request: pb.PublishEventRequest, *, workspace_id: UUID, own: OwnTypes | None = None) -> Event:
    """Return the event to publish, now where it doesn't say when; ``own`` has the workspace's own types."""
    return new_event(
        workspace_id,
        request.event_type,
        request.payload_json,
        idempotency_key=optional(request, "idempotency_key"),
        now=datetime.now(UTC),
        own=own,
    )


def parse_event_type(request: pb.PutEventTypeRequest, *, workspace_id: UUID) -> CustomEventType:
    """Return the event type to put."""
    return CustomEventType.create(
        workspace_id,
        request.name,
        request.schema,
        description=request.description,
        example=optional(request, "example"),
        deprecated=request.deprecated,
    )


def parse_target(request: pb.PreviewPayloadRequest) -> PreviewTarget:
    """Return for whom a request is to be shown."""
    webhook_id = optional(request, "webhook_id")
    return PreviewTarget.create(
        None if webhook_id is None else parse_id("webhook_id", webhook_id), optional(request, "format")
    )


def optional(message: Message, field: str) -> Any:  # noqa: ANN401 - each field has its own type
    """Return an optional field's value, None where the message doesn't have it."""
    return getattr(message, field) if message.HasField(field) else None


def parse_registration(request: pb.RegisterWebhookRequest) -> Registration:
    """Return what is asked for, for the application to check."""
    return Registration(
        url=request.url,
        events=request.events,
        name=optional(request, "name"),
        secret=optional(request, "secret"),
        generate_secret=request.generate_secret,
        timeout_ms=optional(request, "timeout_ms"),
        max_retries=optional(request, "max_retries"),
        enabled=optional(request, "enabled"),
        headers=_headers(request.headers),
        rate_limit_per_s=optional(request, "rate_limit_per_s"),
        max_concurrency=optional(request, "max_concurrency"),
        payload_version=optional(request, "payload_version"),
        signing=optional(request, "signing"),
        client_certificate=optional(request, "client_certificate"),
        client_key=optional(request, "client_key"),
        server_ca=optional(request, "server_ca"),
        contact=optional(request, "contact"),
        digest=optional(request, "digest"),
        options={name: optional(request, name) for name in OPTION_FIELDS if optional(request, name) is not None},
    )


def parse_changes(request: pb.UpdateWebhookRequest) -> dict[str, Any]:
    """Return the fields that the mask names with their values, for the application to check those."""
    return {name: _changed(request, name) for name in check_changeable(request.update_mask.paths)}


def parse_filter(
    request: Narrowed,
    *,
    statuses: Collection[DeliveryStatus],
) -> DeliveryFilter:
    """Return the filters that are set and not empty. Only the ``statuses`` are allowed as a status."""
    kind, states, period, narrower = check_all(
        lambda: parse_kind(request),
        lambda: _statuses(request, statuses),
        lambda: _period(request),
        lambda: _narrower(request),
    )
    return replace(kind, **states, **period, **narrower)


def _statuses(
    request: Narrowed,
    allowed: Collection[DeliveryStatus],
) -> dict[str, Any]:
    """Return the statuses that are asked for, one and several."""
    status, several = check_all(
        lambda: _one_of("status", request.status, allowed) if request.status else None,
        lambda: _several("statuses", request.statuses, allowed),
    )
    return {"status": status, "statuses": several}


def _narrower(
    request: Narrowed,
) -> dict[str, Any]:
    """Return the filters by event and meeting, and by how it ended."""
    (event_id, meeting_id), kind, code, reason = check_all(
        lambda: check_all(
            lambda: parse_id("event_id", request.event_id) if request.event_id else None,
            lambda: check_name("meeting_id", request.meeting_id) if request.meeting_id else None,
        ),
        lambda: _one_of("error_kind", request.error_kind, frozenset(ErrorKind)) if request.error_kind else None,
        lambda: _status_code(request.status_code) if request.HasField("status_code") else None,
        lambda: _one_of("skip_reason", request.skip_reason, frozenset(SkipReason)) if request.skip_reason else None,
    )
    return {
        "event_id": event_id,
        "meeting_id": meeting_id,
        "error_kind": kind,
        "status_code": code,
        "skip_reason": reason,
    }


def parse_narrowed_filter(
    request: pb.ReplayDeliveriesRequest | pb.WatchDeliveriesRequest, *, statuses: Collection[DeliveryStatus]
) -> DeliveryFilter:
    """Return the filters of what is no list, and has the beginning of the ids among them."""
    criteria, ids = check_all(
        lambda: parse_filter(request, statuses=statuses),
        lambda: IdRange.of_prefix(request.id_prefix) if request.id_prefix else None,
    )
    return replace(criteria, ids=ids)


def parse_webhook_filter(request: pb.ListWebhooksRequest) -> WebhookFilter:
    """Return the filters that are set and not empty."""
    state, text = check_all(
        lambda: _one_of("state", request.state, frozenset(EndpointState)) if request.state else None,
        lambda: check_name("text", request.text) if request.text else None,
    )
    return WebhookFilter(state=state, text=text)


def parse_meeting_filter(request: pb.ListMeetingsRequest) -> MeetingFilter:
    """Return the filters that are set and not empty."""
    state, text, period = check_all(
        lambda: _one_of("state", request.state, frozenset(MeetingState)) if request.state else None,
        lambda: check_name("text", request.text) if request.text else None,
        lambda: _period(request),
    )
    return MeetingFilter(state=state, text=text, **period)


def parse_kind(
    request: pb.ListDeliveriesRequest
    | pb.ListUndeliveredRequest
    | pb.ReplayDeliveriesRequest
    | pb.WatchDeliveriesRequest,
) -> DeliveryFilter:
    """Return the filters by endpoint and event type that are set and not empty."""
    webhook_id, event_type = check_all(
        lambda: parse_id("webhook_id", request.webhook_id) if request.webhook_id else None,
        lambda: parse_event_type_filter(request.event_type),
    )
    return DeliveryFilter(webhook_id=webhook_id, event_type=event_type)


def parse_event_filter(request: pb.ListEventsRequest) -> EventFilter:
    """Return the filters that are set and not empty."""
    event_type, meeting_id, period = check_all(
        lambda: parse_event_type_filter(request.event_type),
        lambda: check_name("meeting_id", request.meeting_id) if request.meeting_id else None,
        lambda: _period(request),
    )
    return EventFilter(event_type=event_type, meeting_id=meeting_id, **period)


def parse_audit_filter(request: pb.ListAuditEntriesRequest) -> AuditFilter:
    """Return the filters that are set and not empty."""
    (actor_kind, actor), (action, target_kind, target_id), period = check_all(
        lambda: check_all(
            lambda: _one_of("actor_kind", request.actor_kind, frozenset(ActorKind)) if request.actor_kind else None,
            lambda: check_name("actor", request.actor) if request.actor else None,
        ),
        lambda: check_all(
            lambda: _one_of("action", request.action, frozenset(Action)) if request.action else None,
            lambda: _one_of("target_kind", request.target_kind, frozenset(TargetKind)) if request.target_kind else None,
            lambda: check_name("target_id", request.target_id) if request.target_id else None,
        ),
        lambda: _period(request),
    )
    return AuditFilter(
        actor_kind=actor_kind, actor=actor, action=action, target_kind=target_kind, target_id=target_id, **period
    )


def _period(
    request: pb.ListDeliveriesRequest
    | pb.ReplayDeliveriesRequest
    | pb.WatchDeliveriesRequest
    | pb.ListEventsRequest
    | pb.ListMeetingsRequest
    | pb.ListAuditEntriesRequest,
) -> dict[str, Any]:
    """Return the bounds of time that are set."""
    after, before = check_all(
        lambda: parse_time("created_after", request.created_after) if request.HasField("created_after") else None,
        lambda: parse_time("created_before", request.created_before) if request.HasField("created_before") else None,
    )
    check_period(after, before, may_be_empty=True)
    return {"created_after": after, "created_before": before}


def parse_summary(message: pb.Summary) -> Summary:
    """Return a summary that can be stored."""
    return check_summary(
        Summary(
            executive_summary=message.executive_summary,
            key_points=tuple(message.key_points),
            action_items=tuple(message.action_items),
        )
    )


def parse_format(message: pb.AudioFormat) -> AudioFormat:
    """Return the audio's format; the defaults are one channel and two bytes a sample."""
    try:
        return AudioFormat.create(
            message.sample_rate,
            message.channels if message.HasField("channels") else 1,
            message.bytes_per_sample if message.HasField("bytes_per_sample") else 2,
        )
    except InvalidInputError as error:
        raise error.within("format") from None


def parse_segments(messages: Sequence[pb.TranscriptSegment]) -> list[Segment]:
    """Return the transcript segments of one message, which are stored together."""
    if len(messages) > _SEGMENTS_LIMIT:
        raise InvalidInputError(
            "segments", f"has {len(messages)} entries; at most {_SEGMENTS_LIMIT} are allowed in one message"
        )
    found = Violations()
    segments = [
        Segment(
            text=each.text,
            start_seconds=each.start_seconds,
            end_seconds=each.end_seconds,
            speaker=each.speaker if each.HasField("speaker") else None,
        )
        for each in messages
    ]
    for number, each in enumerate(segments):
        found.take(partial(check_segment, each), each, within=f"segments[{number}]")
    found.raise_all()
    return segments


def _changed(request: pb.UpdateWebhookRequest, name: str) -> Any:  # noqa: ANN401 - each field has its own type
    if name == "headers":
        return _headers(request.headers)
    return optional(request, name) if name in _LIMITS else getattr(request, name)


def _headers(messages: Iterable[pb.Header]) -> list[tuple[str, str]]:
    return [(each.name, each.value) for each in messages]


def parse_event_type_filter(value: str) -> str | None:
    """Return a type to filter by; one of the workspace's own may have been removed, and its events are there."""
    if not value or is_custom(value):
        return value or None
    return _one_of("event_type", value, frozenset(WebhookEventType))


def _one_of(field: str, value: str, allowed: Collection[E]) -> E:
    for each in allowed:
        if each == value:
            return each
    raise InvalidInputError(field, f"{value[:100]!r} is not allowed here; allowed: {', '.join(sorted(allowed))}")


def _several(field: str, values: Sequence[str], allowed: Collection[E]) -> frozenset[E]:
    # No more than there are: a message may have a million.
    if len(values) > len(allowed):
        raise InvalidInputError(field, f"has {len(values)} entries; allowed: {', '.join(sorted(allowed))}, once each")
    return frozenset(_one_of(field, each, allowed) for each in values)


def _status_code(value: int) -> int:
    if value not in _STATUS_CODES:
        raise InvalidInputError("status_code", f"is {value}; allowed are {_STATUS_CODES[0]} to {_STATUS_CODES[-1]}")
    return value
