"""What a person wants to read of an event, in words and without any vendor's markup."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.events import UNTITLED, WebhookEventType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from noteflow_hooks.rendering.occurrence import Occurrence

#: The most facts of a message.
FACTS_LIMIT: Final = 10
#: What every payload has, and a message tells otherwise or not at all.
_BASE: Final = frozenset({"event", "timestamp", "meeting_id", "title"})
#: Join emoji, and letters of some scripts; nothing else that is invisible is kept.
_JOINERS: Final = "\u200c\u200d"
#: Control characters, those that are invisible or turn the line's direction, and letters that are empty to the eye.
#: Written out, since the same event is to give the same bytes whatever Python and its tables come.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LINE_ENDS: Final = re.compile("\r\n?|[\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BLANKS: Final = re.compile("[ \t\x1f\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
#: Longer numbers stay text: Python refuses to convert some of them.
_DIGITS_LIMIT: Final = 18


class Tone(StrEnum):
    """How urgent a message is."""

    GOOD = "good"
    PLAIN = "plain"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Message:
    """A message's parts. ``heading`` and the facts' names of our own types are ours; all else may be anybody's text."""

    heading: str
    occurred_at: datetime
    subject: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    text: str = ""
    tone: Tone = Tone.PLAIN


def message_of(occurrence: Occurrence) -> Message:
    """Return what a person is told of the event. Whatever its payload holds, there is a message."""
    payload = _object(occurrence.payload)
    tell = _TELLERS.get(occurrence.event_type, _tell_custom)
    return tell(occurrence, payload)


def clean(text: str) -> str:
    """Return the text without what is invisible or turns the line's direction, its blanks and empty lines made one.

    So nothing in it looks like something else: neither ``evil`` written backwards nor a word with a gap nobody sees.
    """
    lines = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text)).split("\n")
    spaced = (_BLANKS.sub(" ", line).strip(" ") for line in lines)
    return "\n".join(line for line in spaced if line.strip(f" {_JOINERS}"))


def clean_line(text: str) -> str:
    """Return the text so, in one line."""
    return clean(text).replace("\n", " ")


def duration(seconds: object) -> str:
    """Return a duration in words: hours and minutes, or minutes and seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 10**9:
        return "unknown"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(payload, parse_int=_number)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _DIGITS_LIMIT else digits


def _tell_completed(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    facts = (
        ("Duration", duration(payload.get("duration_seconds"))),
        ("Segments", _as_text(payload.get("segment_count"))),
        ("Summary", "yes" if payload.get("has_summary") is True else "not yet"),
    )
    return Message("Meeting completed", occurrence.occurred_at, _title(payload), facts, tone=Tone.GOOD)


def _tell_summary(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    facts = (
        ("Key points", _as_text(payload.get("key_points_count"))),
        ("Action items", _as_text(payload.get("action_items_count"))),
    )
    text = clean(_as_text(payload.get("executive_summary")))
    if payload.get("truncated") is True:
        text += " …"
    return Message("Summary ready", occurrence.occurred_at, _title(payload), facts, text, Tone.GOOD)


def _tell_started(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    return Message("Recording started", occurrence.occurred_at, _title(payload))


def _tell_stopped(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    facts = (("Duration", duration(payload.get("duration_seconds"))),)
    return Message("Recording stopped", occurrence.occurred_at, _title(payload), facts)


def _tell_test(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    facts = _endpoint(payload)
    text = "NoteFlow can post here. Somebody has asked for this test."
    return Message("Test", occurrence.occurred_at, "", facts, text, Tone.GOOD)


def _tell_trouble(heading: str, tone: Tone) -> Callable[[Occurrence, Mapping[str, Any]], Message]:
    def tell(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
        expires = payload.get("expires_at")
        facts = _endpoint(payload) + (() if expires is None else (("Ends", clean_line(_as_text(expires))),))
        return Message(heading, occurrence.occurred_at, "", facts, clean(_as_text(payload.get("reason"))), tone)

    return tell


def _tell_custom(occurrence: Occurrence, payload: Mapping[str, Any]) -> Message:
    """Tell a type that we know nothing of by its fields."""
    rest = [(name, value) for name, value in payload.items() if name not in _BASE]
    facts = tuple((clean_line(name), clean(_as_text(value))) for name, value in rest[:FACTS_LIMIT])
    more = len(rest) - FACTS_LIMIT
    text = f"And {more} more {'field' if more == 1 else 'fields'}." if more > 0 else ""
    title = payload.get("title")
    subject = clean_line(title) if isinstance(title, str) else ""
    return Message(clean_line(occurrence.event_type), occurrence.occurred_at, subject, facts, text)


def _endpoint(payload: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return (("Endpoint", clean_line(_as_text(payload.get("webhook_id")))),)


def _title(payload: Mapping[str, Any]) -> str:
    return clean_line(_as_text(payload.get("title"))) or UNTITLED


def _as_text(value: object) -> str:
    """Return a value of a payload as text; a list or an object as the JSON that it is."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


_TELLERS: Final[Mapping[str, Callable[[Occurrence, Mapping[str, Any]], Message]]] = {
    WebhookEventType.MEETING_COMPLETED: _tell_completed,
    WebhookEventType.SUMMARY_GENERATED: _tell_summary,
    WebhookEventType.RECORDING_STARTED: _tell_started,
    WebhookEventType.RECORDING_STOPPED: _tell_stopped,
    WebhookEventType.WEBHOOK_TEST: _tell_test,
    WebhookEventType.WEBHOOK_CERTIFICATE_EXPIRING: _tell_trouble("Client certificate ends soon", Tone.WARNING),
    WebhookEventType.WEBHOOK_FAILING: _tell_trouble("An endpoint keeps failing", Tone.WARNING),
    WebhookEventType.WEBHOOK_DISABLED: _tell_trouble("An endpoint was disabled", Tone.BAD),
}
