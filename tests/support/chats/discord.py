"""Discord's webhooks: what they refuse, and how Discord reads a text.

Sources: discord.com/developers, "Execute Webhook", "Embed Limits", "Message Formatting"; "Markdown Text 101".
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from tests.support.chats.shown import RefusedError, Seen, Shown, only, parsed, units

_DISCORD_LIVE: Final = re.compile(
    r"@everyone|@here|<@!?\d+>|<@&\d+>|<#\d+>|<t:-?\d+(?::[tTdDfFR])?>|<a?:\w+:\d+>|</[\w ]+:\d+>|<id:\w+>"
    r"|\[[^\]]*\]\([^)]*\)|<?https?://\S+|\*|_|~~|\|\||`|\[|\]"
)
_DISCORD_LINE: Final = re.compile(r" *(?:#{1,3} |-# |>{1,3} |[-*+] |\d+\. )")
_DISCORD_ESCAPE: Final = re.compile(r"\\([^0-9A-Za-z\s])")


def read_discord_text(text: str) -> Seen:
    """Read one text, rule by rule from its start: first what is escaped, then what is live, else a character."""
    seen, at, kept = Seen(), 0, []
    while at < len(text):
        starts_line = at == 0 or text[at - 1] == "\n"
        if match := _DISCORD_ESCAPE.match(text, at):
            kept.append(match[1])
        elif (
            match := (_DISCORD_LINE.match(text, at) if starts_line else None) or _DISCORD_LIVE.match(text, at)
        ) is None:
            kept.append(text[at])
            at += 1
            continue
        else:
            seen.live.append(match[0])
        at = match.end()
    seen.text = "".join(kept)
    return seen


def read_discord(body: bytes) -> Shown:
    """Read a message for Discord's webhooks."""
    message, shown = json.loads(body), Shown()
    if message.get("allowed_mentions") != {"parse": []}:
        shown.live.append("mentions are allowed")
    if "content" in message:
        shown.live.append("content may mention")
    for embed in message["embeds"]:
        shown.texts.append(embed["author"]["name"])
        for name in ("title", "description"):
            if name in embed:
                shown.add(read_discord_text(embed[name]))
        for each in embed.get("fields", ()):
            shown.add(read_discord_text(each["name"]))
            shown.add(read_discord_text(each["value"]))
        shown.live += [f"{name} leads elsewhere" for name in ("url", "image", "thumbnail") if name in embed]
    return shown


_DISCORD_MESSAGE: Final = (
    "content username avatar_url tts embeds allowed_mentions components attachments flags thread_name poll"
)
_EMBED: Final = "title type description url timestamp color footer image thumbnail author fields"
_DISCORD_LIMITS: Final = {"title": 256, "description": 4096}


def check_discord(body: bytes) -> None:
    """Raise RefusedError where Discord would not take the message."""
    message = parsed(body, "Invalid Form Body")
    only(message, _DISCORD_MESSAGE, "Invalid Form Body")
    if not message.get("content") and not message.get("embeds"):
        raise RefusedError("Cannot send an empty message")
    if units(message.get("content", "")) > 2000 or len(message.get("embeds", [])) > 10:
        raise RefusedError("Invalid Form Body")
    if sum(_check_embed(each) for each in message.get("embeds", ())) > 6000:
        raise RefusedError("Embed size exceeds maximum size of 6000")


def _check_embed(embed: dict[str, Any]) -> int:
    """Return how long its texts are together."""
    only(embed, _EMBED, "Invalid Form Body")
    texts = [_sized(embed[name], limit) for name, limit in _DISCORD_LIMITS.items() if name in embed]
    if "author" in embed:
        texts.append(_sized(embed["author"]["name"], 256))
    if "footer" in embed:
        texts.append(_sized(embed["footer"]["text"], 2048))
    if len(embed.get("fields", [])) > 25:
        raise RefusedError("Invalid Form Body")
    for each in embed.get("fields", ()):
        only(each, "name value inline", "Invalid Form Body")
        texts += [_sized(each["name"], 256), _sized(each["value"], 1024)]
    if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
        raise RefusedError("Invalid Form Body")
    if "timestamp" in embed:
        datetime.fromisoformat(embed["timestamp"])
    return sum(texts)


def _sized(text: Any, limit: int) -> int:  # noqa: ANN401 - any JSON
    # Discord trims what it is given before it measures.
    if not isinstance(text, str) or not text.strip() or units(text) > limit:
        raise RefusedError("Invalid Form Body")
    return units(text)
