"""Small drawings, as numbers for SVG's own attributes: the pages' policy allows no style in the markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.client import pb

#: How wide a bar may get, in units of its picture.
WIDE: Final = 160
_THIN: Final = 2


def bars(attempts: Sequence[pb.Attempt]) -> list[int]:
    """Return how wide each attempt's bar is: the longest is as wide as may be, and each can be seen."""
    longest = max((each.duration_ms for each in attempts), default=0)
    return [max(_THIN, round(WIDE * each.duration_ms / longest)) if longest else _THIN for each in attempts]


def share(part: int, whole: int) -> int:
    """Return how wide the done part of a bar is."""
    return round(WIDE * min(part, whole) / whole) if whole else 0
