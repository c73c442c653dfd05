"""What people see of a message, and what no vendor takes.

``live`` has whatever would be a mention, a link, a date or a style. The readers are stricter than the vendors where
those leave something open: what only might be markup counts as markup.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Seen:
    """A text as people see it, and the parts of it that are live."""

    text: str = ""
    live: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Shown:
    """A message as people see it: its texts in their order, those of the vendor's own making left out."""

    texts: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """Add a text."""
        self.texts.append(seen.text)
        self.live += seen.live


class RefusedError(Exception):
    """The vendor refuses the message, in these words."""


def units(text: str) -> int:
    """Return how long a text is to the vendors."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parsed(body: bytes, words: str) -> dict[str, Any]:
    """Return the JSON object that the body is, or refuse it in these words."""
    try:
        found = json.loads(body.decode("utf-8", "strict"))
    except ValueError:
        raise RefusedError(words) from None
    if not isinstance(found, dict):
        raise RefusedError(words)
    return found


def only(found: dict[str, Any], allowed: str, words: str) -> None:
    """Refuse, in these words, an object with other members than those allowed, which are separated by blanks."""
    if not set(found) <= set(allowed.split()):
        raise RefusedError(f"{words}: {sorted(set(found) - set(allowed.split()))}")
