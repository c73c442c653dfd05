"""A run's results as tables: the bounds and whether they are met, other figures, and processor time."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.printable import table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from noteflow_hooks.bench.record import Record
    from noteflow_hooks.bench.scenario import Bound, Scenario

#: Figures of processor time begin with this and are in µs a delivery.
CPU: Final = "cpu_"
#: Figures of what a call costs a process begin with this and are in µs a call.
CALL: Final = "call_"
_HUNDRED: Final = 100
_TEN: Final = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A title, heads, and rows of text."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it for a terminal."""
        return f"{self.title}\n\n{table([head.upper() for head in self.heads], self.rows)}"

    def markdown(self) -> str:
        """Return it for a page."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(line)} |" for line in lines)])


def tables(scenarios: Sequence[Scenario], record: Record) -> list[Table]:
    """Return all tables that have rows."""
    found = [_bounds(scenarios, record), _figures(record), _cpu(record), _calls(record)]
    return [each for each in found if each.rows]


def bounds_as_json(scenarios: Sequence[Scenario], record: Record) -> list[dict[str, Any]]:
    """Return each bound that was measured, with its figures, and each that was skipped, with the reason."""
    return [
        {
            "scenario": scenario.name,
            "figure": bound.figure,
            "title": bound.title,
            "how": bound.how,
            "limit": bound.limit,
            **found,
        }
        for scenario in scenarios
        for bound in scenario.bounds
        if (found := _found(scenario.name, bound, record))
    ]


def _found(scenario: str, bound: Bound, record: Record) -> dict[str, Any]:
    if values := record.rounds(scenario, bound.figure):
        summary = {"median": statistics.median(values), "least": min(values), "most": max(values)}
        return {**summary, "met": bound.is_met(values)}
    return {"skipped": record.skipped[scenario]} if scenario in record.skipped else {}


def short(value: float) -> str:
    """Return a number with as many digits as are significant."""
    digits = 0 if abs(value) >= _HUNDRED else 1 if abs(value) >= _TEN else 2
    return f"{value:,.{digits}f}"


def _bounds(scenarios: Sequence[Scenario], record: Record) -> Table:
    rows = [
        [found["title"], *_outcome(found)[:2], f"{found['how']} {found['limit']:g}", _outcome(found)[2]]
        for found in bounds_as_json(scenarios, record)
    ]
    return Table("Bounds", ("figure", "median", "spread", "bound", "met"), rows)


def _outcome(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return median, spread, and whether the bound is met."""
    if "skipped" in found:
        return "-", f"skipped: {found['skipped']}", "-"
    spread = f"{short(found['least'])} to {short(found['most'])}"
    return short(found["median"]), spread, "yes" if found["met"] else "NO"


def _figures(record: Record) -> Table:
    rows = [[scenario, figure, *_summed_up(values)] for scenario, figure, values in _where(record, _is_plain)]
    rows.extend([scenario, f"skipped: {reason}", "-", "-"] for scenario, reason in record.skipped.items())
    return Table("Figures", ("scenario", "figure", "median", "spread"), rows)


def _cpu(record: Record) -> Table:
    rows = [
        [scenario, figure.removeprefix(CPU).removesuffix("_us"), *_summed_up(values)]
        for scenario, figure, values in _where(record, _is_cpu)
    ]
    return Table("Processor's time, in µs a delivery", ("scenario", "process", "median", "spread"), rows)


def _calls(record: Record) -> Table:
    rows = [
        [scenario, figure.removeprefix(CALL).removesuffix("_us"), *_summed_up(values)]
        for scenario, figure, values in _where(record, _is_of_call)
    ]
    return Table("Processor's time, in µs a call", ("scenario", "call and process", "median", "spread"), rows)


def _where(record: Record, is_wanted: Callable[[str], bool]) -> list[tuple[str, str, Sequence[float]]]:
    return [found for found in record.all() if is_wanted(found[1])]


def _is_cpu(figure: str) -> bool:
    return figure.startswith(CPU)


def _is_of_call(figure: str) -> bool:
    return figure.startswith(CALL)


def _is_plain(figure: str) -> bool:
    return not (_is_cpu(figure) or _is_of_call(figure))


def _summed_up(values: Sequence[float]) -> tuple[str, str]:
    return short(statistics.median(values)), f"{short(min(values))} to {short(max(values))}"
