"""Sentences of the server's as markup: their moments become times of the reader's, and what they name can be followed.

All of a sentence is escaped first: what a receiver said may stand in it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from markupsafe import Markup, escape

from noteflow_hooks.printable import escape as visible

if TYPE_CHECKING:
    from noteflow_hooks.client import pb

_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC")
_COMMAND: Final = re.compile(r"`([^`]+)`")
#: How the reason of what a dead one holds begins: with a word for programs, and which one that is.
_STOPPED: Final = re.compile(r"\Aorder_stopped: delivery ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) ")
#: What filters are called where they are shown; the server knows them by the fields' names.
LABELS: Final = {
    "status_code": "Answered",
    "error_kind": "Failed of",
    "skip_reason": "Skipped because",
    "created_after": "From",
    "created_before": "Before",
    "id_prefix": "Id begins with",
    "webhook_id": "Endpoint",
    "event_type": "Event type",
    "event_id": "Event",
    "meeting_id": "Meeting",
    "status": "State",
    "state": "State",
    "text": "In its name or host",
    "held": "Held back",
    "rate_per_s": "How many a second",
    "action": "What was done",
    "actor_kind": "By",
    "target_kind": "To a",
    "target_id": "Of the id",
}
#: The most changes of an entry that are told in its row, and the most characters of a change, before and after.
_MOST: Final = 3
_LONG: Final = 40


class Change(NamedTuple):
    """What one field was, and what it became; empty where it was not there."""

    name: str
    old: str
    new: str


def spoken(text: str) -> Markup:
    """Return a reason, or what to do about it."""
    found = _MOMENT.sub(r'<time datetime="\1T\2Z">\g<0></time>', str(escape(visible(text, keep="\n\t"))))
    found = _COMMAND.sub(r"<code>\1</code>", found)
    return Markup(_STOPPED.sub(r'Delivery <a class="id" href="/deliveries/\1">\1</a> ', found, count=1))  # noqa: S704 - escaped above


def labelled(refusal: str) -> str:
    """Return why filters can't be taken, with the fields called as their labels are."""
    name, colon, rest = refusal.partition(": ")
    return f"{LABELS.get(name, name)}{colon}{rest}"


def changes(entry: pb.AuditEntry) -> list[Change]:
    """Return what an entry of the audit trail changed, where that can be read in its row; else nothing."""
    old, new = _fields(entry.old), _fields(entry.new)
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    found = [Change(name, _value(old, name), _value(new, name)) for name in names]
    is_short = len(found) <= _MOST and all(len(each.old) + len(each.new) <= _LONG for each in found)
    return found if is_short else []


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _value(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        return ""
    value = fields[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
