"""What a publisher may say: parsed strictly, refused with the field's name, encoded in the contract's order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.json_text import INPUT_LIMIT_BYTES
from noteflow_hooks.domain.publishing import event_from_json
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import NOON, a_payload

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event

SUMMARY: dict[str, Any] = {
    "meeting_id": "m-1",
    "title": "Weekly",
    "executive_summary": "Fine.",
    "key_points_count": 2,
    "action_items_count": 0,
}


def published(
    payload: object, *, event_type: str = "meeting.completed", key: str | None = None, now: datetime = NOON
) -> Event:
    """Publish a payload, or JSON text as it is."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return event_from_json(uuid4(), uuid4(), event_type, text, idempotency_key=key, now=now)


def refusal(payload: object, *, event_type: str = "meeting.completed", key: str | None = None) -> str:
    with pytest.raises(InvalidInputError) as caught:
        published(payload, event_type=event_type, key=key)
    return str(caught.value)


def test_fields_are_sent_in_the_contracts_order_and_extra_ones_behind() -> None:
    """The order in which the publisher wrote them counts for the extra ones alone."""
    given = {"z": 1, "has_summary": True, **a_payload(), "a": None}
    assert published(given).payload == (
        b'{"event":"meeting.completed","timestamp":"2024-01-31T12:00:00+00:00","meeting_id":"m-1","title":"Weekly",'
        b'"duration_seconds":61.5,"segment_count":3,"has_summary":true,"z":1,"a":null}'
    )


@pytest.mark.parametrize(
    ("event_type", "fields"),
    [
        ("meeting.completed", a_payload()),
        ("summary.generated", SUMMARY),
        ("recording.started", {"meeting_id": "m-1", "title": ""}),
        ("recording.stopped", {"meeting_id": "m-1", "title": "Weekly", "duration_seconds": 0}),
    ],
)
def test_each_meeting_type_can_be_published_and_needs_all_its_fields(event_type: str, fields: dict[str, Any]) -> None:
    """Without any one of them the payload is refused by that field's name."""
    event = published(fields, event_type=event_type)
    assert (event.event_type, event.meeting_id, event.occurred_at) == (event_type, "m-1", NOON)
    for name in fields:
        less = {other: value for other, value in fields.items() if other != name}
        assert refusal(less, event_type=event_type) == f"{name}: is missing"


def test_all_that_is_wrong_is_said_at_once() -> None:
    """In one line for people, and one by one for programs."""
    given = {"event": "other", "timestamp": "soon", "title": 7, "segment_count": -1}
    with pytest.raises(InvalidInputError) as caught:
        published(given, key="")
    assert caught.value.violations == (
        ("idempotency_key", "must not be empty"),
        ("timestamp", "must be ISO 8601 with its offset from UTC, such as 2026-01-31T12:00:00Z"),
        ("event", "must be 'meeting.completed' or absent"),
        ("meeting_id", "is missing"),
        ("title", "must be text"),
        ("duration_seconds", "is missing"),
        ("segment_count", "must not be negative"),
        ("has_summary", "is missing"),
    )
    assert str(caught.value) == "; ".join(f"{field}: {problem}" for field, problem in caught.value.violations)


@pytest.mark.parametrize("event_type", ["webhook.test", "webhook.failing", "webhook.disabled", "", "nonsense"])
def test_other_types_cannot_be_published(event_type: str) -> None:
    """The refusal names the types that can."""
    message = refusal(a_payload(), event_type=event_type)
    assert message.startswith("event_type: ")
    assert "meeting.completed, recording.started, recording.stopped, summary.generated" in message


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "payload_json"),
        ("null", "payload_json"),
        ("[]", "payload_json"),
        ('"text"', "payload_json"),
        ("{", "payload_json"),
        ("{} {}", "payload_json"),
        ("{'a': 1}", "payload_json"),
        ('{"a": 01}', "payload_json"),
        ('{"a": 1, "a": 1}', "payload_json"),
        ('{"a": {"b": 1, "b": 2}}', "payload_json"),
        ('{"a": NaN}', "payload_json"),
        ('{"a": -Infinity}', "payload_json"),
        ('{"a": "\x01"}', "payload_json"),
        ("[" * 100_000, "payload_json"),
        ('{"a": ' + "1" * 5_000 + "}", "payload_json"),
        ("x" * (INPUT_LIMIT_BYTES + 1), "payload_json"),
    ],
)
def test_text_that_is_not_one_json_object_is_refused(text: str, field: str) -> None:
    """Python reads some things that are no JSON, and some that other readers read differently."""
    assert refusal(text).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("meeting_id", None, "must be text"),
        ("meeting_id", 7, "must be text"),
        ("meeting_id", " ", "must not be empty"),
        ("meeting_id", "m" * 256, "at most 255"),
        ("title", None, "must be text"),
        ("title", "t" * 501, "has 501 characters; at most 500"),
        ("title", "\x00", "NUL"),
        ("title", "\ud800", "surrogates"),
        ("duration_seconds", "61.5", "must be a number"),
        ("duration_seconds", True, "must be a number"),
        ("duration_seconds", -0.5, "must not be negative"),
        ("duration_seconds", 10**400, "must be a finite number"),
        ("segment_count", 3.0, "must be a whole number"),
        ("segment_count", True, "must be a whole number"),
        ("segment_count", -1, "must not be negative"),
        ("segment_count", 2**64, "must be a whole number of at most 64 bits"),
        ("extra", -(2**63) - 1, "must be a whole number of at most 64 bits"),
        ("extra", 10**400, "must be a whole number of at most 64 bits"),
        ("has_summary", 1, "must be true or false"),
        ("has_summary", "true", "must be true or false"),
        ("event", "summary.generated", "must be 'meeting.completed' or absent"),
        ("event", None, "must be 'meeting.completed' or absent"),
        ("extra", [1], "flat"),
        ("extra", {}, "flat"),
        ("extra", "\udc00", "surrogates"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(name: str, value: object, problem: str) -> None:
    """Nothing is converted that could have been meant otherwise."""
    message = refusal(a_payload() | {name: value})
    assert message.startswith(f"{name}: ")
    assert problem in message


def test_a_number_too_large_for_a_float_is_refused_by_name() -> None:
    """JSON has such numbers, and Python reads them as infinite."""
    text = json.dumps(a_payload()).replace("61.5", "1e999")
    assert refusal(text) == "duration_seconds: must be a finite number"


def test_whole_numbers_of_64_bits_are_sent_as_they_are() -> None:
    """With a sign and without: readers in other languages have types for both."""
    assert (
        b'"low":-9223372036854775808,"high":18446744073709551615}'
        in published(a_payload(low=-(2**63), high=2**64 - 1)).payload
    )


def test_a_field_whose_name_is_very_long_is_refused_in_a_short_line() -> None:
    """The refusal repeats a part of the name."""
    assert refusal(a_payload() | {"n" * 100_000: [1]}).startswith("n" * 100 + ": must be text")


def test_a_whole_number_of_seconds_is_a_duration() -> None:
    """An integer is sent as the float that the field is."""
    assert b'"duration_seconds":61.0,' in published(a_payload(duration_seconds=61)).payload


@pytest.mark.parametrize(
    ("given", "occurred_at"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.25+02:00", datetime(2026, 1, 31, 10, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_the_publishers_timestamp_is_when_it_happened(given: str, occurred_at: datetime) -> None:
    """It is sent in UTC, and kept as the event's time."""
    event = published(a_payload(timestamp=given))
    assert event.occurred_at == occurred_at
    assert json.loads(event.payload)["timestamp"] == occurred_at.isoformat()


@pytest.mark.parametrize("given", [{}, {"timestamp": None}])
def test_without_a_timestamp_it_happened_now(given: dict[str, Any]) -> None:
    """An absent time and a null one mean the same."""
    event = published(a_payload() | given, now=NOON + timedelta(seconds=1))
    assert event.occurred_at == NOON + timedelta(seconds=1)
    assert json.loads(event.payload)["timestamp"] == "2024-01-31T12:00:01+00:00"


@pytest.mark.parametrize(
    "given",
    ["", "noon", "2026-01-31", "2026-01-31T12:00:00", 1_769_860_800, True, "0001-01-01T00:00:00+14:00", [1]],
)
def test_a_time_that_is_not_exact_is_refused(given: object) -> None:
    """A time without its offset, or none that a calendar has, could mean anything."""
    assert refusal(a_payload(timestamp=given)).startswith("timestamp: must be ISO 8601")


def test_a_long_summary_is_shortened_and_everything_else_refused() -> None:
    """The limit on what is sent holds for publishers as for the server's own events."""
    event = published(SUMMARY | {"executive_summary": "s" * 20_000}, event_type="summary.generated")
    assert json.loads(event.payload)["truncated"] is True
    assert len(event.payload) == 10_240
    assert "at most 10240" in refusal(a_payload(extra="x" * 10_240))


@pytest.mark.parametrize(("key", "problem"), [("", "empty"), ("k" * 256, "at most 255"), ("\x00", "NUL")])
def test_a_key_that_cannot_be_kept_is_refused(key: str, problem: str) -> None:
    """A key is text of 1 to 255 characters."""
    message = refusal(a_payload(), key=key)
    assert message.startswith("idempotency_key: ")
    assert problem in message


def test_the_same_request_has_the_same_digest() -> None:
    """Order and spaces of the JSON text don't count, nor does the time at which it came."""
    fields = a_payload()
    first = published(fields, key="k")
    backwards = json.dumps(dict(reversed(list(fields.items()))), indent=3)
    again = published(backwards, key="k", now=NOON + timedelta(hours=1))
    assert (first.idempotency_key, first.request_digest) == ("k", again.request_digest)


@pytest.mark.parametrize(
    "other",
    [
        a_payload(title="Daily"),
        a_payload(extra=1),
        a_payload(has_summary=False),
        a_payload(timestamp="2024-01-31T12:00:00Z"),
    ],
)
def test_another_request_has_another_digest(other: dict[str, Any]) -> None:
    """Whatever the publisher says differently makes it another request."""
    assert published(a_payload(), key="k").request_digest != published(other, key="k").request_digest


def test_without_a_key_nothing_is_digested() -> None:
    """No request is compared with one that has no key."""
    assert published(a_payload()).request_digest is None


def test_the_type_is_part_of_the_request() -> None:
    """The same fields under another type are another request."""
    one, two = (published(a_payload(), event_type=each, key="k") for each in ("meeting.completed", "recording.stopped"))
    assert one.request_digest != two.request_digest
