"""Where an attempt's time went, as numbers for the parts of its bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from noteflow_hooks.client import pb

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
