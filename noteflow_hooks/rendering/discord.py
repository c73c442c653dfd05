"""Messages for Discord's webhooks: one embed (discord.com/developers, "Execute Webhook" and "Embed Limits").

Nothing is in ``content``, so nothing can mention anybody, and ``allowed_mentions`` says so once more.
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

    from noteflow_hooks.rendering.messages import Message
    from noteflow_hooks.rendering.occurrence import Occurrence

#: A backslash makes text of whatever is no letter, digit or blank. Commas and quotes mean nothing anywhere.
ESCAPES: Final = escape_all("".join(each for each in punctuation if each not in ",;'\"%?$"), "\\")
#: The vendor's limits, in characters.
TITLE_LIMIT: Final = 256
DESCRIPTION_LIMIT: Final = 4096
FIELD_NAME_LIMIT: Final = 256
FIELD_VALUE_LIMIT: Final = 1024
AUTHOR_LIMIT: Final = 256
#: Of all texts of a message together.
TOTAL_LIMIT: Final = 6000
#: Ours.
_NAME_LIMIT: Final = 100
_FOOTER: Final = "NoteFlow"
_ROOM: Final = (TOTAL_LIMIT - len(_FOOTER), 14_000)
_COLOURS: Final[Mapping[Tone, int]] = {
    Tone.GOOD: 0x2E_B8_86,
    Tone.PLAIN: 0x58_65_F2,
    Tone.WARNING: 0xF2_C7_44,
    Tone.BAD: 0xD7_2B_3F,
}
#: In an author's name nothing is markup.
_NOTHING: Final[Mapping[int, str]] = {}


def render_discord(occurrence: Occurrence) -> Rendered:
    """Return the message."""
    message = message_of(occurrence)
    body = {"embeds": [_embed(message, Room(*_ROOM))], "allowed_mentions": {"parse": []}}
    return Rendered(written(body), JSON)


def _embed(message: Message, room: Room) -> dict[str, Any]:
    embed: dict[str, Any] = {
        "author": {"name": room.take(message.heading, _NOTHING, units=AUTHOR_LIMIT)},
        "color": _COLOURS[message.tone],
        "timestamp": message.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "footer": {"text": _FOOTER},
    }
    if message.subject:
        embed["title"] = room.take(message.subject, ESCAPES, units=TITLE_LIMIT)
    fields = [_field(name, value, room, share=FIELD_VALUE_LIMIT) for name, value in message.facts]
    if any(fields):
        embed["fields"] = [each for each in fields if each is not None]
    if message.text and (text := room.take(message.text, ESCAPES, units=DESCRIPTION_LIMIT)):
        embed["description"] = text
    return embed


def _field(name: str, value: str, room: Room, *, share: int) -> dict[str, Any] | None:
    """Return a fact; None where there is no room left for it."""
    named = room.take(name or "-", ESCAPES, units=_NAME_LIMIT)
    value = room.take(value or "-", ESCAPES, units=share)
    return {"name": named, "value": value, "inline": True} if named and value else None
