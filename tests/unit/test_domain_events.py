"""Event types and what each of them says."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from noteflow_hooks.domain.events import (
    PUBLISHABLE,
    SUBSCRIBABLE,
    Event,
    MeetingCompletedPayload,
    RecordingStartedPayload,
    RecordingStoppedPayload,
    SummaryGeneratedPayload,
    WebhookEventType,
    WebhookPayload,
    WebhookTestPayload,
    format_timestamp,
    is_event_name,
    new_event,
)
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import NOON

BASE = {"event": "x", "timestamp": "t", "meeting_id": "m"}
PAYLOADS = [
    (
        MeetingCompletedPayload("x", "t", "m", "Weekly", 1.5, 3, has_summary=False),
        {"title": "Weekly", "duration_seconds": 1.5, "segment_count": 3, "has_summary": False},
    ),
    (
        SummaryGeneratedPayload("x", "t", "m", "Weekly", "Fine.", 2, 0),
        {"title": "Weekly", "executive_summary": "Fine.", "key_points_count": 2, "action_items_count": 0},
    ),
    (RecordingStartedPayload("x", "t", "m", "Weekly"), {"title": "Weekly"}),
    (RecordingStoppedPayload("x", "t", "m", "Weekly", 0.0), {"title": "Weekly", "duration_seconds": 0.0}),
    (WebhookTestPayload("x", "t", "m", "w"), {"webhook_id": "w"}),
    (WebhookPayload("x", "t", "m"), {}),
]


@pytest.mark.parametrize(("payload", "fields"), PAYLOADS)
def test_a_payload_says_the_base_fields_and_then_its_own(payload: WebhookPayload, fields: dict[str, object]) -> None:
    """The order of the fields is that of the contract, and false and zero are said too."""
    assert list(payload.to_dict().items()) == list((BASE | fields).items())


def test_an_event_about_no_meeting_has_no_meeting_id() -> None:
    """An absent field is left out, not sent as null."""
    assert WebhookTestPayload("x", "t", None, "w").to_dict() == {
        "event": "x",
        "timestamp": "t",
        "webhook_id": "w",
    }


@pytest.mark.parametrize("payload", [each for each, _ in PAYLOADS])
def test_payloads_are_frozen_and_slotted(payload: WebhookPayload) -> None:
    """A payload can't be changed, nor grow a field."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        payload.event = "y"  # type: ignore[misc]  # it is frozen
    assert not hasattr(payload, "__dict__")


def test_the_types_are_those_of_the_contract() -> None:
    """The words are stored and sent, and known outside."""
    meeting = {"meeting.completed", "summary.generated", "recording.started", "recording.stopped"}
    system = {"webhook.failing", "webhook.disabled", "webhook.certificate_expiring"}
    assert set(WebhookEventType) == meeting | system | {"webhook.test", "webhook.verification"}
    assert set(SUBSCRIBABLE) == meeting | system
    assert set(PUBLISHABLE) == meeting


def test_a_new_event_holds_exactly_the_bytes_to_send() -> None:
    """The payload is encoded once, and the event's columns agree with it."""
    payload = RecordingStartedPayload("recording.started", format_timestamp(NOON), "m-1", "Wöchentlich")
    event_id, workspace_id = uuid4(), uuid4()
    assert new_event(event_id, workspace_id, payload, occurred_at=NOON) == Event(
        id=event_id,
        workspace_id=workspace_id,
        event_type="recording.started",
        payload=(
            '{"event":"recording.started","timestamp":"2024-01-31T12:00:00+00:00",'
            '"meeting_id":"m-1","title":"Wöchentlich"}'
        ).encode(),
        occurred_at=NOON,
        meeting_id="m-1",
    )


def test_an_event_that_cannot_be_sent_is_not_made() -> None:
    """What JSON can't carry is refused where it enters."""
    payload = RecordingStoppedPayload("recording.stopped", "t", "m", "Weekly", float("nan"))
    with pytest.raises(InvalidInputError, match="duration_seconds"):
        new_event(uuid4(), uuid4(), payload, occurred_at=NOON)


def test_an_events_payload_is_not_in_its_repr() -> None:
    """What a meeting said does not reach the logs by way of a value."""
    payload = RecordingStartedPayload("recording.started", "t", "m", "Confidential")
    assert "Confidential" not in repr(new_event(uuid4(), uuid4(), payload, occurred_at=NOON))


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC), "2026-01-31T12:00:00.123456+00:00"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        (datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-30T19:30:00+00:00"),
    ],
)
def test_timestamps_are_said_in_utc(moment: datetime, said: str) -> None:
    """A moment is the same whatever zone it came in."""
    assert format_timestamp(moment) == said


@pytest.mark.parametrize("text", [*WebhookEventType, "meeting.of_2027", "x"])
def test_types_of_this_release_and_of_later_ones_are_names(text: str) -> None:
    """A worker of this release sends what a newer server records."""
    assert is_event_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "A", "a\n", "a\r\nX: y", "a b", "../a", "<a>", "é", "x" * 129]
)
def test_what_a_header_could_not_hold_or_nobody_would_say_is_no_name(text: str) -> None:
    """It would come from a row that was changed by hand."""
    assert not is_event_name(text)
