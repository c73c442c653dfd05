"""Event types and the payloads that go out for them: flat JSON objects whose bytes never change once stored."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.payloads import encode
from noteflow_hooks.telemetry.tracing import current_traceparent

if TYPE_CHECKING:
    from uuid import UUID

#: What a meeting without a title is called in a payload.
UNTITLED: Final = "Untitled"
_NAME: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_NAME_LIMIT: Final = 128
#: What the names of a workspace's own types begin with.
CUSTOM: Final = "custom."


class WebhookEventType(StrEnum):
    """The event types, as they are stored and sent."""

    MEETING_COMPLETED = "meeting.completed"
    SUMMARY_GENERATED = "summary.generated"
    RECORDING_STARTED = "recording.started"
    RECORDING_STOPPED = "recording.stopped"
    WEBHOOK_TEST = "webhook.test"
    WEBHOOK_VERIFICATION = "webhook.verification"
    WEBHOOK_CERTIFICATE_EXPIRING = "webhook.certificate_expiring"
    WEBHOOK_FAILING = "webhook.failing"
    WEBHOOK_DISABLED = "webhook.disabled"


#: What goes to its target alone, whatever that subscribes to.
TARGETED: Final = frozenset({WebhookEventType.WEBHOOK_TEST, WebhookEventType.WEBHOOK_VERIFICATION})
#: What an endpoint may subscribe to: all but those.
SUBSCRIBABLE: Final = tuple(sorted(set(WebhookEventType) - TARGETED))
#: What a caller may publish: the meeting types. Only the system makes events of the others.
PUBLISHABLE: Final = (
    WebhookEventType.MEETING_COMPLETED,
    WebhookEventType.RECORDING_STARTED,
    WebhookEventType.RECORDING_STOPPED,
    WebhookEventType.SUMMARY_GENERATED,
)


@dataclass(frozen=True, slots=True)
class WebhookPayload:
    """The base fields of every payload. ``timestamp`` is ISO 8601 in UTC: when it happened."""

    event: str
    timestamp: str
    #: None only for the events that are about no meeting; the field is then absent.
    meeting_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in the order in which they are sent, without those that hold None."""
        values = ((each.name, getattr(self, each.name)) for each in dataclasses.fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class MeetingCompletedPayload(WebhookPayload):
    """What ``meeting.completed`` says."""

    title: str
    duration_seconds: float
    segment_count: int
    has_summary: bool


@dataclass(frozen=True, slots=True)
class SummaryGeneratedPayload(WebhookPayload):
    """What ``summary.generated`` says."""

    title: str
    executive_summary: str
    key_points_count: int
    action_items_count: int
    #: True where the summary was shortened to fit; absent otherwise.
    truncated: bool | None = None


@dataclass(frozen=True, slots=True)
class RecordingStartedPayload(WebhookPayload):
    """What ``recording.started`` says."""

    title: str


@dataclass(frozen=True, slots=True)
class RecordingStoppedPayload(WebhookPayload):
    """What ``recording.stopped`` says."""

    title: str
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class WebhookTestPayload(WebhookPayload):
    """What ``webhook.test`` says."""

    webhook_id: str


@dataclass(frozen=True, slots=True)
class VerificationPayload(WebhookPayload):
    """What ``webhook.verification`` says: what the endpoint is to give back, and until when."""

    webhook_id: str
    challenge: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class EndpointTroublePayload(WebhookPayload):
    """What ``webhook.failing`` and ``webhook.disabled`` say of another endpoint of the workspace."""

    webhook_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CertificateExpiringPayload(EndpointTroublePayload):
    """What ``webhook.certificate_expiring`` says of another endpoint of the workspace."""

    expires_at: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, stored once. ``payload`` holds the very bytes that are sent, or put into a format."""

    id: UUID
    workspace_id: UUID
    event_type: str
    payload: bytes = field(repr=False)
    occurred_at: datetime
    meeting_id: str | None = None
    #: The only endpoint that may get it, for tests and challenges.
    target_webhook_id: UUID | None = None
    idempotency_key: str | None = None
    #: A digest of what the publisher gave under that key, so that a repetition can be told from a clash.
    request_digest: bytes | None = field(default=None, repr=False)
    created_at: datetime | None = None
    dispatched_at: datetime | None = None
    #: Since then ``payload`` is an empty object, and the event can't be sent any more.
    payload_erased_at: datetime | None = None
    #: Its number among its meeting's events, from 1; None where it is about none, or older than such numbers.
    sequence: int | None = None
    #: Where its trace goes on, as W3C's header says it; None where it has none.
    traceparent: str | None = None


def is_event_name(text: str) -> bool:
    """Tell whether the text may be sent as a type: also a newer release's, but nothing that ends a header's line."""
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


def is_custom(event_type: str) -> bool:
    """Tell whether the text may name a workspace's own type: ``custom.``, and words with dots between them."""
    return event_type.startswith(CUSTOM) and is_event_name(event_type)


def new_event(
    event_id: UUID,
    workspace_id: UUID,
    payload: WebhookPayload,
    *,
    occurred_at: datetime,
    target_webhook_id: UUID | None = None,
) -> Event:
    """Make an event with that payload; raise :class:`InvalidInputError` if it can't be sent as it is."""
    return Event(
        id=event_id,
        workspace_id=workspace_id,
        event_type=payload.event,
        payload=encode(payload.to_dict()),
        occurred_at=occurred_at,
        meeting_id=payload.meeting_id,
        target_webhook_id=target_webhook_id,
    )


def traced(event: Event) -> Event:
    """Return the event as part of the running call's trace, where that has one."""
    traceparent = current_traceparent()
    return event if traceparent is None else dataclasses.replace(event, traceparent=traceparent)


def format_timestamp(moment: datetime) -> str:
    """Return an aware moment as payloads write it, in UTC: ``2026-01-31T12:00:00.123456+00:00``."""
    return moment.astimezone(UTC).isoformat()
