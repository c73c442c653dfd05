"""Messages for Slack's incoming webhooks, in Block Kit (docs.slack.dev, "Blocks" and "Text object").

What isn't ours is ``plain_text``, in which Slack looks for no markup, and has its control characters escaped besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.rendering.fitting import Room, written
from noteflow_hooks.rendering.messages import message_of
from noteflow_hooks.rendering.occurrence import JSON, Rendered

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.rendering.messages import Message
    from noteflow_hooks.rendering.occurrence import Occurrence

#: The control characters ("Formatting text for app surfaces", "Escaping text").
ESCAPES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
#: The vendor's limits, in characters.
HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
#: Ours: a notification is a line, and a fact is not a page.
_NOTIFICATION_LIMIT: Final = 400
_SUBJECT_LIMIT: Final = 1000
_FACT_LIMIT: Final = 600
_ROOM: Final = (12_000, 14_000)


def render_slack(occurrence: Occurrence) -> Rendered:
    """Return the message."""
    message, room = message_of(occurrence), Room(*_ROOM)
    head = f"{message.heading}: {message.subject}" if message.subject else message.heading
    body = {
        # What notifications and screen readers have; it is shown nowhere else.
        "text": room.take(head, ESCAPES, units=_NOTIFICATION_LIMIT),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": _blocks(message, room),
    }
    return Rendered(written(body), JSON)


def _blocks(message: Message, room: Room) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(room.take(message.heading, ESCAPES, units=HEADER_LIMIT))}
    ]
    if message.subject:
        blocks.append({"type": "section", "text": _plain(room.take(message.subject, ESCAPES, units=_SUBJECT_LIMIT))})
    facts = [f"{name}\n{value or '-'}" for name, value in message.facts]
    fields = [_plain(taken) for each in facts if (taken := room.take(each, ESCAPES, units=_FACT_LIMIT))]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    if message.text and (text := room.take(message.text, ESCAPES, units=SECTION_LIMIT)):
        blocks.append({"type": "section", "text": _plain(text)})
    return [*blocks, {"type": "context", "elements": [_moment(message.occurred_at)]}]


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _moment(moment: datetime) -> dict[str, Any]:
    """Return when it was, which Slack shows in each reader's own time; nothing of it is from the event's text."""
    otherwise = moment.strftime("%Y-%m-%d %H:%M UTC")
    words = f"<!date^{int(moment.timestamp())}^{{date_short_pretty}}, {{time}}|{otherwise}>"
    return {"type": "mrkdwn", "text": f"NoteFlow, {words}", "verbatim": True}
