"""Small drawings, as numbers for SVG's own attributes: the pages' policy allows no style in the markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.client import pb

#: How wide a bar may get, in units of its picture.
WIDE: Final = 160
_THIN: Final = 2
#: An attempt's times in their order, each with its name.
_TIMES: Final = (
    ("dns", "look-up"),
    ("connect", "connect"),
    ("tls", "TLS handshake"),
    ("wait", "wait for the answer"),
    ("read", "read the answer"),
)


class Part(NamedTuple):
    """One part of an attempt's time, and where it is in the attempt's bar."""

    #: What its look is called by.
    key: str
    name: str
    ms: int
    x: int
    width: int


def parts(attempt: pb.Attempt, wide: int) -> list[Part]:
    """Return the parts of an attempt's time, in a bar of that width; none where they are not known."""
    there = {field.name: ms for field, ms in attempt.ListFields()}
    known = [(key, name, there[f"{key}_ms"]) for key, name in _TIMES if f"{key}_ms" in there]
    whole = sum(ms for *_, ms in known)
    found, before = list[Part](), 0
    for key, name, ms in known:
        x, before = (round(wide * before / whole) if whole else 0), before + ms
        found.append(Part(key, name, ms, x, (round(wide * before / whole) if whole else 0) - x))
    return found


def bars(attempts: Sequence[pb.Attempt]) -> list[int]:
    """Return how wide each attempt's bar is: the longest is as wide as may be, and each can be seen."""
    longest = max((each.duration_ms for each in attempts), default=0)
    return [max(_THIN, round(WIDE * each.duration_ms / longest)) if longest else _THIN for each in attempts]


def share(part: int, whole: int) -> int:
    """Return how wide the done part of a bar is."""
    return round(WIDE * min(part, whole) / whole) if whole else 0
