"""Messages for Microsoft Teams: an Adaptive Card in an attachment, as Workflows and incoming webhooks take it.

Sources: learn.microsoft.com, "Post a workflow when a webhook request is received", and adaptivecards.microsoft.com.
"""

from __future__ import annotations

from datetime import UTC
from string import punctuation
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.rendering.fitting import Room, escape_all, written
from noteflow_hooks.rendering.messages import Tone, message_of
from noteflow_hooks.rendering.occurrence import JSON, Rendered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from noteflow_hooks.rendering.messages import Message
    from noteflow_hooks.rendering.occurrence import Occurrence

#: CommonMark takes a backslash before any of these ("Backslash escapes"). Braces would begin ``{{DATE(…)}}``.
ESCAPES: Final = escape_all("".join(each for each in punctuation if each not in ",;'\"%?$"), "\\") | {
    # A single line's end is none in Markdown.
    ord("\n"): "\n\n"
}
#: The vendor's limit on a whole message is 28 KB; ours, on each message of a preset, is 16 KiB.
_HEADING_LIMIT: Final = 300
_SUBJECT_LIMIT: Final = 1200
_FACT_LIMIT: Final = 1000
_TEXT_LIMIT: Final = 6000
_ROOM: Final = (12_000, 13_500)
_COLOURS: Final[Mapping[Tone, str]] = {
    Tone.GOOD: "Good",
    Tone.PLAIN: "Accent",
    Tone.WARNING: "Warning",
    Tone.BAD: "Attention",
}


def render_teams(occurrence: Occurrence) -> Rendered:
    """Return the message."""
    message = message_of(occurrence)
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        # The lowest one that has all that is used here: phones are behind.
        "version": "1.2",
        "msteams": {"width": "Full"},
        "body": _body(message, Room(*_ROOM)),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    body = {"type": "message", "attachments": [attachment]}
    return Rendered(written(body), JSON)


def _body(message: Message, room: Room) -> list[dict[str, Any]]:
    heading = room.take(message.heading, ESCAPES, units=_HEADING_LIMIT)
    body = [_text(heading, weight="Bolder", size="Medium", color=_COLOURS[message.tone])]
    if message.subject:
        body.append(_text(room.take(message.subject, ESCAPES, units=_SUBJECT_LIMIT), weight="Bolder"))
    facts = [_fact(name, value, room) for name, value in message.facts]
    if any(facts):
        body.append({"type": "FactSet", "facts": [each for each in facts if each is not None]})
    if message.text and (text := room.take(message.text, ESCAPES, units=_TEXT_LIMIT)):
        body.append(_text(text))
    return [*body, _text(_moment(message.occurred_at), isSubtle=True, size="Small")]


def _fact(name: str, value: str, room: Room) -> dict[str, str] | None:
    """Return a fact; None where there is no room left for it."""
    name, value = (room.take(each or "-", ESCAPES, units=_FACT_LIMIT) for each in (name, value))
    return {"title": name, "value": value} if name and value else None


def _text(text: str, **how: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a TextBlock may have
    return {"type": "TextBlock", "text": text, "wrap": True, **how}


def _moment(moment: datetime) -> str:
    """Return when it was, which Teams shows in each reader's own time; nothing of it is from the event's text."""
    at = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"NoteFlow, {{{{DATE({at}, SHORT)}}}} {{{{TIME({at})}}}}"
