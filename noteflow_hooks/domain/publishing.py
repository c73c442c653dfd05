"""Payloads that a caller gives as JSON text: parsed strictly and checked against their type's fields."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from noteflow_hooks.domain.events import (
    CUSTOM,
    PUBLISHABLE,
    Event,
    MeetingCompletedPayload,
    RecordingStartedPayload,
    RecordingStoppedPayload,
    SummaryGeneratedPayload,
    WebhookEventType,
    WebhookPayload,
    format_timestamp,
)
from noteflow_hooks.domain.json_text import parse_object
from noteflow_hooks.domain.payloads import TITLE_LIMIT, check_name, check_text, encode, encode_nested
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from noteflow_hooks.domain.event_types import CustomEventType
    from noteflow_hooks.domain.ports.schemas import SchemaChecker

T = TypeVar("T")

_CLASSES: Final[dict[str, type[WebhookPayload]]] = {
    WebhookEventType.MEETING_COMPLETED: MeetingCompletedPayload,
    WebhookEventType.SUMMARY_GENERATED: SummaryGeneratedPayload,
    WebhookEventType.RECORDING_STARTED: RecordingStartedPayload,
    WebhookEventType.RECORDING_STOPPED: RecordingStoppedPayload,
}
_KINDS: Final[dict[str, tuple[type, str]]] = {
    "str": (str, "text"),
    "float": (float, "a number"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
}


def event_from_json(
    event_id: UUID,
    workspace_id: UUID,
    event_type: str,
    payload_json: str,
    *,
    idempotency_key: str | None,
    now: datetime,
) -> Event:
    """Make an event from a publisher's JSON, or raise :class:`InvalidInputError` that names the fields at fault.

    The base fields and the type's own come first, in the contract's order, then extra flat ones as given. ``timestamp``
    is ``now`` where the caller gives none. Two calls with keys, of the same type and JSON values, have the same digest.
    """
    refused: list[InvalidInputError] = []
    _collected(refused, lambda: _check_type(event_type))
    given = _collected(refused, lambda: parse_object("payload_json", payload_json))
    key = _collected(refused, lambda: _checked_key(idempotency_key))
    if given is None or event_type not in PUBLISHABLE:
        raise InvalidInputError.of_all(refused)
    occurred_at = _collected(refused, lambda: _timestamp(given, now)) or now
    fields = {"event": event_type, "timestamp": format_timestamp(occurred_at)}
    fields |= _checked_fields(event_type, given, refused)
    if refused:
        raise InvalidInputError.of_all(refused)
    extra = {name: value for name, value in given.items() if name not in fields}
    return Event(
        id=event_id,
        workspace_id=workspace_id,
        event_type=event_type,
        payload=encode(fields | extra),
        occurred_at=occurred_at,
        meeting_id=str(fields["meeting_id"]),
        idempotency_key=key,
        request_digest=None if key is None else _digest(fields | extra, timed=given.get("timestamp") is not None),
    )


def custom_event_from_json(
    event_id: UUID,
    payload_json: str,
    *,
    kind: CustomEventType,
    checker: SchemaChecker,
    idempotency_key: str | None,
    now: datetime,
) -> Event:
    """Make an event of a type of the workspace's own, as :func:`event_from_json` does of ours.

    The payload may be nested. A ``meeting_id`` in it is the event's, and is erased with the meeting's others.
    """
    refused: list[InvalidInputError] = []
    given = _collected(refused, lambda: parse_object("payload_json", payload_json))
    key = _collected(refused, lambda: _checked_key(idempotency_key))
    if given is None:
        raise InvalidInputError.of_all(refused)
    occurred_at = _collected(refused, lambda: _timestamp(given, now)) or now
    fields = {"event": kind.name, "timestamp": format_timestamp(occurred_at)}
    meeting_id = _collected(refused, lambda: _meeting_of(given))
    if given.get("event", kind.name) != kind.name:
        refused.append(InvalidInputError("event", f"must be {kind.name!r} or absent"))
    payload = fields | {name: value for name, value in given.items() if name not in fields}
    # Of what may be sent only: no schema looks at more than that.
    body = _collected(refused, lambda: encode_nested(payload))
    if body is not None:
        refused += checker.problems(kind.schema, kind.shown(payload))
    if body is None or refused:
        raise InvalidInputError.of_all(refused)
    return Event(
        id=event_id,
        workspace_id=kind.workspace_id,
        event_type=kind.name,
        payload=body,
        occurred_at=occurred_at,
        meeting_id=meeting_id,
        idempotency_key=key,
        request_digest=None if key is None else _digest(payload, timed=given.get("timestamp") is not None),
    )


def custom_digest(event_type: str, payload_json: str, *, now: datetime) -> bytes:
    """Return the digest that an event of such a type would have under a key, whatever its schema says of it.

    Raise :class:`InvalidInputError` for what could never have been published.
    """
    given = parse_object("payload_json", payload_json)
    fields = {"event": event_type, "timestamp": format_timestamp(_timestamp(given, now))}
    payload = fields | {name: value for name, value in given.items() if name not in fields}
    encode_nested(payload)
    return _digest(payload, timed=given.get("timestamp") is not None)


def not_publishable(event_type: str) -> InvalidInputError:
    """Return the error for a type that can't be published."""
    allowed = f"{', '.join(PUBLISHABLE)}, and the workspace's own types, {CUSTOM}<name>"
    return InvalidInputError("event_type", f"{event_type[:100]!r} can't be published; allowed: {allowed}")


def _meeting_of(given: dict[str, Any]) -> str | None:
    value = given.get("meeting_id")
    if value is not None and not isinstance(value, str):
        raise InvalidInputError("meeting_id", "must be text: it names the meeting that the event is about")
    return None if value is None else check_name("meeting_id", value)


def _check_type(event_type: str) -> None:
    if event_type not in PUBLISHABLE:
        raise not_publishable(event_type)


@cache
def required_fields(event_type: str) -> Mapping[str, str]:
    """Return what a payload of a type that can be published must have: each field, and what kind of value it takes."""
    return {
        field.name: str(field.type).split(" ")[0]
        for field in dataclasses.fields(_CLASSES[event_type])
        if field.default is dataclasses.MISSING and field.name not in ("event", "timestamp")
    }


def kind_in_words(kind: str) -> str:
    """Return what a kind of :func:`required_fields` is called: text, a number, a whole number, true or false."""
    return _KINDS[kind][1]


def _checked_fields(event_type: str, given: dict[str, Any], refused: list[InvalidInputError]) -> dict[str, Any]:
    """Return the type's own fields; one that is refused is None, and its error is added to ``refused``."""
    if given.get("event", event_type) != event_type:
        refused.append(InvalidInputError("event", f"must be {event_type!r} or absent"))
    checked: dict[str, Any] = {}
    for name, kind in required_fields(event_type).items():
        try:
            checked[name] = _checked(name, kind, given)
        except InvalidInputError as error:
            refused.append(error)
            checked[name] = None
    return checked


def _collected(refused: list[InvalidInputError], check: Callable[[], T]) -> T | None:
    """Return what the check returns; if it raises, add the error to ``refused`` and return None."""
    try:
        return check()
    except InvalidInputError as error:
        refused.append(error)
        return None


def _timestamp(given: dict[str, Any], now: datetime) -> datetime:
    value = given.get("timestamp")
    if value is None:
        return now
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidInputError("timestamp", "must be ISO 8601 with its offset from UTC, such as 2026-01-31T12:00:00Z")


def _checked(name: str, kind: str, given: dict[str, Any]) -> Any:  # noqa: ANN401 - a JSON value
    if name not in given:
        raise InvalidInputError(name, "is missing")
    expected, words = _KINDS[kind]
    value: Any = given[name]
    if expected is float and type(value) is int:
        value = _as_float(name, value)
    if type(value) is not expected:
        raise InvalidInputError(name, f"must be {words}")
    if isinstance(value, (int, float)) and value < 0:
        raise InvalidInputError(name, "must not be negative")
    if name == "title" and isinstance(value, str):
        check_text(name, value, limit=TITLE_LIMIT)
    if name == "meeting_id" and isinstance(value, str):
        check_name(name, value)
    return value


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InvalidInputError(name, "must be a finite number") from None


def _checked_key(key: str | None) -> str | None:
    return None if key is None else check_name("idempotency_key", key)


def _digest(payload: dict[str, Any], *, timed: bool) -> bytes:
    """Digest the publisher's own fields: a timestamp that we filled in is left out, as each repetition has another."""
    said = payload if timed else {name: value for name, value in payload.items() if name != "timestamp"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
