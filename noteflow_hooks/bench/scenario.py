"""A scenario: a measurement that is made in each round, and the bounds that its figures must keep."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.bench.stage import Stage

#: Figures by their names, which end with their unit, such as ``p95_ms``; one without a unit is a ratio.
Values: TypeAlias = dict[str, float]


class SkippedError(Exception):
    """The scenario can't be played here; the message says why, and stands in the table in place of its figures."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The limit for one figure."""

    figure: str
    #: Its name in the table.
    title: str
    how: Literal["at least", "at most"]
    limit: float

    def is_met(self, values: Sequence[float]) -> bool:
        """Whether the median of the rounds' values keeps the bound."""
        found = statistics.median(values)
        return found >= self.limit if self.how == "at least" else found <= self.limit


@dataclass(frozen=True, slots=True)
class Scenario:
    """One measurement."""

    name: str
    #: Its description for ``--list``.
    title: str
    #: Measures once, or raises :class:`SkippedError`. It must leave the stage as it found it: everything delivered or
    #: removed, everything running.
    run: Callable[[Stage], Values]
    bounds: tuple[Bound, ...] = ()
    #: Whether it is played in the last round only, without a warm-up, since it takes minutes or sums up the run.
    is_once: bool = False
    #: A name that ``--only`` takes for several scenarios together.
    group: str = ""
