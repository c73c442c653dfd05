"""What each renderer gives of each event type, as files: ``tests/unit/rendering/golden/<format>.<number>/<type>.http``.

``python -m tests.support.golden`` writes those that are missing, and changes none: what a number gives is what it gave.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.payloads import encode_nested
from noteflow_hooks.rendering.occurrence import Occurrence
from noteflow_hooks.rendering.registry import RENDERERS

if TYPE_CHECKING:
    from noteflow_hooks.rendering.occurrence import Rendered

GOLDEN: Final = Path(__file__).parents[1] / "unit" / "rendering" / "golden"
EVENT_ID: Final = UUID("0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a91")
WORKSPACE_ID: Final = UUID("0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a92")
OCCURRED_AT: Final = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
#: What a workspace's own type may say: nested, with what JSON escapes, and a whole second.
_CUSTOM: Final[dict[str, Any]] = {
    "event": "custom.deal.won",
    "timestamp": "2026-01-31T12:00:00+00:00",
    "deal": {"name": 'Größe "7" \\ 東京 <!channel> @everyone', "tags": ["a", None, True, 1.5], "owner": {}},
    "amount": 10**18,
}
#: A meeting's id of what a header can't have as it is.
_ODD_MEETING: Final = 'Über "100 %"\u2028会議'


def an_occurrence(event_type: str = "meeting.completed", version: int = 1, **overrides: Any) -> Occurrence:  # noqa: ANN401 - any field
    """Return the example of the type in the catalogue, as it goes out in that version; or of a custom type."""
    payload = CATALOGUE[event_type].example(version) if event_type in CATALOGUE else _CUSTOM | {"event": event_type}
    values: dict[str, Any] = {
        "event_id": EVENT_ID,
        "event_type": event_type,
        "workspace_id": WORKSPACE_ID,
        "meeting_id": payload.get("meeting_id"),
        "occurred_at": OCCURRED_AT,
        "payload": encode_nested(payload),
        "sequence": 7 if "meeting_id" in payload else None,
        "payload_version": version,
    }
    return Occurrence(**(values | overrides))


def occurrences() -> dict[str, Occurrence]:
    """Return what the files show, by their names: every type in every version, a custom one, and an odd meeting."""
    found = {
        f"{name}.{version}": an_occurrence(name, version)
        for name, each in CATALOGUE.items()
        for version in each.versions
    }
    found["custom.deal.won.1"] = an_occurrence("custom.deal.won", occurred_at=OCCURRED_AT.replace(microsecond=0))
    odd = json.loads(an_occurrence().payload) | {"meeting_id": _ODD_MEETING, "title": "[x](http://evil) <@U1>"}
    found["odd-meeting.1"] = an_occurrence(meeting_id=_ODD_MEETING, payload=encode_nested(odd))
    return found


def shown(rendered: Rendered) -> bytes:
    """Return what is sent, as the lines that the format has a say in, and the body."""
    lines = [("Content-Type", rendered.content_type), *rendered.headers]
    return b"\n".join([*(f"{name}: {value}".encode("latin-1") for name, value in lines), b"", rendered.body])


def path_of(format_: str, number: int, name: str) -> Path:
    """Return where that file is."""
    return GOLDEN / f"{format_}.{number}" / f"{name}.http"


def _write() -> None:
    for (format_, number), render in RENDERERS.items():
        for name, occurrence in occurrences().items():
            path = path_of(format_, number, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(shown(render(occurrence)))


if __name__ == "__main__":
    _write()
