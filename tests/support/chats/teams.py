"""Teams' workflows: what they refuse, and how a card's texts are read.

Sources: learn.microsoft.com, "Post a workflow when a webhook request is received"; Adaptive Cards, "Text features"
and the schema of version 1.2.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.support.chats.shown import RefusedError, Seen, Shown, only, parsed

_MACRO: Final = re.compile(r"\{\{(?:DATE|TIME)\([^)]*\)\}\}")
#: CommonMark 2.4, 2.5, 6: what is no escape, and begins an entity, code, a style, a link, an image, HTML or a break.
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_LIVE: Final = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|\w+);|[*_`\[\]]|<[A-Za-z/!?][^>]*|\\\n|  \n|https?://\S+")
#: CommonMark 4 and 5, at a line's start: headings, their underlines, rules, quotes, lists, code, definitions.
_BLOCK: Final = re.compile(r" {0,3}(?:#{1,6}(?: |$)|>|[-+*](?: |$)|\d+[.)](?: |$)|=+ *$|-+ *$|~~~)| {4}", re.MULTILINE)


def read_teams_text(text: str) -> Seen:
    """Read one text of a card: the dates first, as Teams does, and then all of CommonMark, though Teams has less."""
    seen = Seen(live=_MACRO.findall(text))
    kept, at = [], 0
    while at < len(text):
        starts_line = at == 0 or text[at - 1] == "\n"
        if match := _ESCAPE.match(text, at):
            kept.append(match[1])
        elif match := (_BLOCK.match(text, at) if starts_line else None) or _LIVE.match(text, at):
            seen.live.append(match[0])
        elif match := re.compile("\n\n+").match(text, at):
            kept.append("\n")
        else:
            kept.append(text[at] if text[at] != "\n" else " ")
            at += 1
            continue
        at = match.end()
    seen.text = "".join(kept)
    return seen


def read_teams(body: bytes) -> Shown:
    """Read a message for Teams' workflows."""
    message, shown = json.loads(body), Shown()
    for attachment in message["attachments"]:
        card = attachment["content"]
        if "entities" in card.get("msteams", {}):
            shown.live.append("entities mention people")
        # The last one is ours: when it was.
        for each in card["body"][:-1]:
            texts = [each["text"]] if "text" in each else [fact[key] for fact in each["facts"] for key in fact]
            for text in texts:
                shown.add(read_teams_text(text))
    return shown


_TEXT_BLOCK: Final = "type text wrap weight size color isSubtle maxLines horizontalAlignment id spacing separator"
_WORDS: Final = {
    "weight": {"Lighter", "Default", "Bolder"},
    "size": {"Small", "Default", "Medium", "Large", "ExtraLarge"},
    "color": {"Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"},
}


def check_teams(body: bytes) -> None:
    """Raise RefusedError where a workflow of Teams would not post the message."""
    if len(body) > 28 * 1024:
        raise RefusedError("RequestEntityTooLarge")
    message = parsed(body, "InvalidRequestContent")
    if message.get("type") != "message" or len(message.get("attachments") or []) != 1:
        raise RefusedError("InvalidRequestContent: type message with attachments")
    attachment = message["attachments"][0]
    if attachment.get("contentType") != "application/vnd.microsoft.card.adaptive":
        raise RefusedError("InvalidRequestContent: contentType")
    card = attachment["content"]
    only(card, "$schema type version body actions msteams fallbackText lang speak", "InvalidCard")
    if card.get("type") != "AdaptiveCard" or card.get("version") not in ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5"):
        raise RefusedError("InvalidCard: type and version")
    if not card.get("body"):
        raise RefusedError("InvalidCard: nothing to show")
    for each in card["body"]:
        _check_element(each)


def _check_element(element: dict[str, Any]) -> None:
    match element.get("type"):
        case "TextBlock":
            only(element, _TEXT_BLOCK, "InvalidCard")
            if not isinstance(element.get("text"), str) or not element["text"]:
                raise RefusedError("InvalidCard: a TextBlock without text")
            if any(element[name] not in words for name, words in _WORDS.items() if name in element):
                raise RefusedError("InvalidCard: an unknown word")
        case "FactSet":
            only(element, "type facts id spacing separator", "InvalidCard")
            if not element["facts"] or any(set(each) != {"title", "value"} for each in element["facts"]):
                raise RefusedError("InvalidCard: facts")
        case _:
            raise RefusedError("InvalidCard: an unknown element")
