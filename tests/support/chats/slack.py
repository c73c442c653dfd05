"""Slack's incoming webhooks: what they refuse, and how Slack reads a text.

Sources: docs.slack.dev, "Formatting message text", "Text object", and each block's page.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.support.chats.shown import RefusedError, Seen, Shown, only, parsed, units

_CONTROL: Final = re.compile("<([^>]*)>")
_ENTITY: Final = re.compile("&(amp|lt|gt);")
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">"}
_SLACK_DATE: Final = re.compile(r"!date\^\d+\^\{date_short_pretty\}, \{time\}\|[0-9: -]+UTC")
_SLACK_STYLE: Final = re.compile(r"[*_~`]|^&gt;", re.MULTILINE)


def read_slack_text(text: str, *, is_markup: bool) -> Seen:
    """Read one text. Angle brackets count as control sequences in plain text too."""
    seen = Seen()
    seen.live += [each for each in _CONTROL.findall(text) if not (is_markup and _SLACK_DATE.fullmatch(each))]
    rest = _CONTROL.sub("", text)
    seen.live += re.findall("[<>]|&(?!(?:amp|lt|gt);)", rest)
    if is_markup:
        seen.live += _SLACK_STYLE.findall(rest)
    seen.text = _ENTITY.sub(lambda match: _ENTITIES[match[1]], rest)
    return seen


def read_slack(body: bytes) -> Shown:
    """Read a message for Slack's incoming webhooks."""
    message, shown = json.loads(body), Shown()
    shown.live += read_slack_text(message["text"], is_markup=message.get("mrkdwn", True)).live
    for each in _slack_texts(message["blocks"]):
        is_markup = each["type"] == "mrkdwn"
        if is_markup and not each.get("verbatim"):
            shown.live.append(f"links and mentions are looked for in {each}")
        seen = read_slack_text(each["text"], is_markup=is_markup)
        if is_markup:
            shown.live += seen.live
        else:
            shown.add(seen)
    return shown


def _slack_texts(found: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(found, list):
        return [text for each in found for text in _slack_texts(each)]
    if not isinstance(found, dict):
        return []
    if found.get("type") in ("plain_text", "mrkdwn"):
        return [found]
    return [text for each in found.values() for text in _slack_texts(each)]


_SLACK_MESSAGE: Final = "text blocks attachments thread_ts mrkdwn unfurl_links unfurl_media response_type"


def check_slack(body: bytes) -> None:
    """Raise RefusedError where Slack's incoming webhooks would not take the message."""
    message = parsed(body, "invalid_payload")
    only(message, _SLACK_MESSAGE, "invalid_payload")
    if not message.get("text") and not message.get("blocks"):
        raise RefusedError("no_text")
    if units(message.get("text", "")) > 40_000:
        raise RefusedError("msg_too_long")
    if len(message.get("blocks", [])) > 50:
        raise RefusedError("invalid_blocks")
    for block in message.get("blocks", []):
        _check_block(block)


def _check_block(block: dict[str, Any]) -> None:
    match block.get("type"):
        case "header":
            only(block, "type text block_id", "invalid_blocks")
            _check_slack_text(block.get("text"), limit=150, kinds=("plain_text",))
        case "section":
            _check_section(block)
        case "context":
            only(block, "type elements block_id", "invalid_blocks")
            if not 1 <= len(block["elements"]) <= 10:
                raise RefusedError("invalid_blocks")
            for each in block["elements"]:
                _check_slack_text(each, limit=3000)
        case "divider":
            only(block, "type block_id", "invalid_blocks")
        case _:
            raise RefusedError("invalid_blocks")


def _check_section(block: dict[str, Any]) -> None:
    only(block, "type text fields block_id accessory expand", "invalid_blocks")
    if "text" not in block and "fields" not in block:
        raise RefusedError("invalid_blocks")
    if "text" in block:
        _check_slack_text(block["text"], limit=3000)
    if "fields" in block and not 1 <= len(block["fields"]) <= 10:
        raise RefusedError("invalid_blocks")
    for each in block.get("fields", ()):
        _check_slack_text(each, limit=2000)


def _check_slack_text(found: Any, *, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:  # noqa: ANN401 - any JSON
    if not isinstance(found, dict) or found.get("type") not in kinds:
        raise RefusedError("invalid_blocks")
    only(found, "type text emoji" if found["type"] == "plain_text" else "type text verbatim", "invalid_blocks")
    if not isinstance(found.get("text"), str) or not 1 <= units(found["text"]) <= limit:
        raise RefusedError("invalid_blocks")
