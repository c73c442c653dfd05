"""What a check looks at, and what it finds: a state, figures, and what to do where it is not well."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta


class State(StrEnum):
    """How something is."""

    OK = "ok"
    #: Deliveries flow all the same, at this moment.
    WARNING = "warning"
    #: Deliveries do not flow, or what was accepted may be lost; or that can't be told.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, in figures; ``advice`` says what to do about it, where something is."""

    state: State
    found: str
    advice: str | None = None
    #: The figures by name, in base units, for programs.
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. ``look`` returns a verdict, or raises."""

    name: str
    look: Callable[[], Verdict]
    #: What to do where it raises, or does not come back.
    remedy: str
    #: Checks without which this one can't be made.
    needs: tuple[str, ...] = ()


def ok(found: str, numbers: Mapping[str, float] | None = None) -> Verdict:
    """Return that all is well."""
    return Verdict(State.OK, found, numbers=numbers or {})


def warning(found: str, advice: str, numbers: Mapping[str, float] | None = None) -> Verdict:
    """Return that deliveries flow, and that somebody should see to it."""
    return Verdict(State.WARNING, found, advice, numbers or {})


def failed(found: str, advice: str, numbers: Mapping[str, float] | None = None) -> Verdict:
    """Return that deliveries do not flow, or that it can't be told."""
    return Verdict(State.FAILED, found, advice, numbers or {})


def looked(check: Check) -> Verdict:
    """Make the check, whatever comes of it."""
    try:
        return check.look()
    except Exception as error:  # noqa: BLE001 - the boundary: whatever a broken system makes a client raise is a finding
        return failed(_said(error), check.remedy)


def seconds(length: timedelta) -> str:
    """Return a length of time as people read it: 0.4 s, 12 s, 3 min, 5.2 h."""
    length_s = max(0.0, length.total_seconds())
    if length_s < 120:  # noqa: PLR2004 - two minutes, up to which seconds say more
        return f"{length_s:.{0 if length_s >= 10 else 1}f} s"  # noqa: PLR2004 - two digits are enough
    return f"{length_s / 60:.0f} min" if length_s < 7200 else f"{length_s / 3600:.1f} h"  # noqa: PLR2004 - two hours


def _said(error: Exception) -> str:
    """Return the error in a line; of one that is not ours, also its kind, without which many say nothing."""
    detail = error.detail if isinstance(error, UnavailableError) and error.detail else str(error)
    # What follows in further lines is the statement, or a link.
    line = detail.partition("\n")[0].rstrip(".")
    return line if isinstance(error, NoteFlowHooksError) else f"{type(error).__name__}: {line}"
