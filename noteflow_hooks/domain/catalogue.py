"""The catalogue of event types: what each is, and the JSON Schema and example of its payload, made of its class.

Within a payload version a schema only ever grows: ``schemas/`` holds what was released, and a test compares.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.events import (
    PUBLISHABLE,
    CertificateExpiringPayload,
    EndpointTroublePayload,
    MeetingCompletedPayload,
    RecordingStartedPayload,
    RecordingStoppedPayload,
    SummaryGeneratedPayload,
    VerificationPayload,
    WebhookEventType,
    WebhookPayload,
    WebhookTestPayload,
)
from noteflow_hooks.domain.payload_versions import VERSIONS
from noteflow_hooks.domain.payloads import NAME_LIMIT, TITLE_LIMIT
from noteflow_hooks.domain.schema_bounds import DIALECT

if TYPE_CHECKING:
    from collections.abc import Mapping

_WEBHOOK_ID: Final = "0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a90"

#: By a field's name, which means the same in every type: what it is, what its kind alone doesn't say, and an example.
_FIELDS: Final[Mapping[str, tuple[str, dict[str, Any], Any]]] = {
    "event": ("The event's type.", {}, None),
    "timestamp": ("When it happened: ISO 8601, in UTC.", {"format": "date-time"}, "2026-01-31T12:00:00.123456+00:00"),
    "meeting_id": ("The meeting's id.", {"minLength": 1, "maxLength": NAME_LIMIT}, "m-2031"),
    "title": ('The meeting\'s title, "Untitled" where it has none.', {"maxLength": TITLE_LIMIT}, "Weekly"),
    "duration_seconds": ("How long the audio is, in seconds.", {"minimum": 0}, 1834.5),
    "segment_count": ("How many segments the transcript has.", {"minimum": 0}, 212),
    "has_summary": ("Whether a summary is stored.", {}, True),
    "executive_summary": ("The summary's text.", {}, "The release is planned for March."),
    "key_points_count": ("How many key points the summary has.", {"minimum": 0}, 4),
    "action_items_count": ("How many action items the summary has.", {"minimum": 0}, 2),
    "truncated": ("True where executive_summary was shortened to fit; absent otherwise.", {"const": True}, None),
    "webhook_id": ("The endpoint's id.", {"format": "uuid"}, _WEBHOOK_ID),
    "expires_at": ("When it ends: ISO 8601, in UTC.", {"format": "date-time"}, "2026-03-02T12:00:00+00:00"),
    "sha256": (
        "The SHA-256 of the certificate, in hexadecimal digits.",
        {"minLength": 64, "maxLength": 64},
        "5d4e0b1c7a52a2f0a6cfb4a2a9e3a0d1f37f0a4fd7fce2f0d5b4b3c6f1f2a9c8",
    ),
    "challenge": (
        'What to give back with a 2xx: as the body, or as {"challenge": "…"}.',
        {"minLength": 1, "maxLength": 128},
        "6pY8Qf0kTn3mZr1cVw9uJx5sLb2hGd7aEi4oKy-R_tA",
    ),
    "reason": ("Why, in words.", {}, "410 Gone: the endpoint does not want webhooks any more"),
}
_KINDS: Final = {"str": "string", "float": "number", "int": "integer", "bool": "boolean"}
#: What a publisher may add: a payload is flat.
_EXTRA: Final = {"type": ["string", "number", "boolean", "null"]}


@dataclass(frozen=True, slots=True)
class EventType:
    """One of our types, in all versions of its payload."""

    name: WebhookEventType
    description: str
    #: The release that had it first.
    since: str
    #: What its payload is in each version, the first one first.
    payloads: tuple[type[WebhookPayload], ...]
    #: Whether it is to go: nothing new should rely on it.
    deprecated: bool = False

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of its payload, in rising order."""
        return VERSIONS[self.name]

    def schema(self, version: int) -> dict[str, Any]:
        """Return the JSON Schema of its payload in that version."""
        fields = self._fields(version)
        return {
            "$schema": DIALECT,
            "$id": f"urn:noteflow:schema:{self.name}:{version}",
            "title": str(self.name),
            "description": self.description,
            "type": "object",
            "properties": {each.name: self._property(each) for each in fields},
            "required": [each.name for each in fields if each.default is dataclasses.MISSING],
            "additionalProperties": _EXTRA,
            "examples": [self.example(version)],
        }

    def example(self, version: int) -> dict[str, Any]:
        """Return a payload of that version, as it is sent."""
        fields = self._fields(version)
        values = {each.name: _FIELDS[each.name][2] for each in fields} | {"event": str(self.name)}
        return {name: value for name, value in values.items() if value is not None}

    def schema_text(self, version: int) -> str:
        """Return the schema as JSON text."""
        return json.dumps(self.schema(version))

    def example_text(self, version: int) -> str:
        """Return the example as the JSON text that would be sent."""
        return json.dumps(self.example(version), separators=(",", ":"), ensure_ascii=False)

    def _fields(self, version: int) -> list[dataclasses.Field[Any]]:
        """Return the fields of that version; a type that is about no meeting has no ``meeting_id``."""
        found = dataclasses.fields(self.payloads[self.versions.index(version)])
        return [each for each in found if each.name != "meeting_id" or self.name in PUBLISHABLE]

    def _property(self, field: dataclasses.Field[Any]) -> dict[str, Any]:
        words, rules, _ = _FIELDS[field.name]
        kind = _KINDS[str(field.type).partition(" ")[0]]
        own = {"const": str(self.name)} if field.name == "event" else rules
        return {"description": words, "type": kind, **own}


_KINDS_OF_EVENTS: Final = (
    EventType(
        WebhookEventType.MEETING_COMPLETED,
        "A meeting was stopped; once, however often that is asked for.",
        "0.1.0",
        (MeetingCompletedPayload,),
    ),
    EventType(
        WebhookEventType.RECORDING_STARTED,
        "The first audio of a recording has arrived; once a recording.",
        "0.1.0",
        (RecordingStartedPayload,),
    ),
    EventType(
        WebhookEventType.RECORDING_STOPPED,
        "A recording has ended, broken off, or was ended with its meeting; once a recording.",
        "0.1.0",
        (RecordingStoppedPayload,),
    ),
    EventType(
        WebhookEventType.SUMMARY_GENERATED,
        "A meeting's summary was stored, the first one or another in its place.",
        "0.1.0",
        (SummaryGeneratedPayload,),
    ),
    EventType(
        WebhookEventType.WEBHOOK_CERTIFICATE_EXPIRING,
        "The client certificate of another endpoint of the workspace ends in 30, 7 or 1 days; never sent to that one.",
        "0.2.0",
        (CertificateExpiringPayload,),
    ),
    EventType(
        WebhookEventType.WEBHOOK_DISABLED,
        "The system has disabled another endpoint of the workspace; never sent to that one.",
        "0.1.0",
        (EndpointTroublePayload,),
    ),
    EventType(
        WebhookEventType.WEBHOOK_FAILING,
        "Another endpoint of the workspace keeps failing and will be disabled; never sent to that one.",
        "0.1.0",
        (EndpointTroublePayload,),
    ),
    EventType(
        WebhookEventType.WEBHOOK_TEST,
        "Somebody asked for a test of this endpoint; sent to it whatever it subscribes to.",
        "0.1.0",
        (WebhookTestPayload,),
    ),
    EventType(
        WebhookEventType.WEBHOOK_VERIFICATION,
        "This endpoint is new, or its URL is: nothing else is sent there until it gives the challenge back.",
        "0.2.0",
        (VerificationPayload,),
    ),
)
#: Our types by name, in the names' order.
CATALOGUE: Final[Mapping[str, EventType]] = {each.name: each for each in _KINDS_OF_EVENTS}
