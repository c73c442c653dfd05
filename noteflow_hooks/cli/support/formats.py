"""In which format a request has come, by what it shows of itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.options import Format

if TYPE_CHECKING:
    from noteflow_hooks.cli.support.receiver import Received

#: What the header's lines of CloudEvents' binary mode begin with.
ATTRIBUTE: Final = "ce-"
#: The fields of a body, by which its format is known; of several that fit, the first one counts.
_FIELDS: Final = (
    (Format.CLOUDEVENTS, "specversion"),
    (Format.DISCORD, "embeds"),
    (Format.TEAMS, "attachments"),
    (Format.SLACK, "blocks"),
)


def format_of(received: Received) -> Format:
    """Return the format; the usual one where nothing speaks for another."""
    if "ce-specversion" in received.headers:
        return Format.CLOUDEVENTS_BINARY
    try:
        body = json.loads(received.body)
    except (ValueError, RecursionError):
        return Format.NOTEFLOW
    if not isinstance(body, dict):
        return Format.NOTEFLOW
    if set(body) == {"type", "timestamp", "data"}:
        return Format.STANDARD
    # A preset's request says nothing of events.
    is_ours = "x-noteflow-event" in received.headers
    found = (chosen for chosen, name in _FIELDS if name in body and is_ours != chosen.is_preset)
    return next(found, Format.NOTEFLOW)


def attributes(received: Received) -> dict[str, str]:
    """Return the attributes that are headers, as CloudEvents' binary mode has them."""
    return {name: value for name, value in received.headers.items() if name.startswith(ATTRIBUTE)}
