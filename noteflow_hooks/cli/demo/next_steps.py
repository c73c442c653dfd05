"""What to do once a demo has gone well: the way to an endpoint of one's own."""

from __future__ import annotations

from typing import Final

#: Each command, and what it does. What `listen` prints registers it.
_STEPS: Final = (
    ("up", "keep the whole system running; it prints a link to the dashboard"),
    ("listen", "in a second terminal: a receiver of yours, and the command that registers it"),
    (
        """events publish recording.started --payload '{"meeting_id": "m-1"}'""",
        "in a third: an event, which arrives there",
    ),
    ("deliveries list", "what became of it; `deliveries show ID` has every attempt"),
)
_PAGES: Final = """\
docs/quick-start.md takes these steps one by one.
docs/index.md has all pages; `make docs` shows them in a browser."""


def next_steps(program: str) -> str:
    """Return the next commands, to be typed as they stand, and where the pages are."""
    lines = [f"  {program} {words}\n      {what}" for words, what in _STEPS]
    return "\n".join(["Next, for an endpoint of your own:", *lines, "", _PAGES])
