"""Plots of a run, as SVG. They need pygal, which only the extra `bench` installs."""

from __future__ import annotations

import importlib
import importlib.util
import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.bench.latency import LATENCY
from noteflow_hooks.bench.report import CPU
from noteflow_hooks.bench.scaling import SCALING
from noteflow_hooks.bench.throughput import THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from noteflow_hooks.bench.record import Record
    from noteflow_hooks.bench.scenario import Scenario

NO_PYGAL: Final = "plots need pygal: pip install 'noteflow-hooks[bench]'"
#: Not drawn with the other ratios: those are below 1, and this one is meant to be 8 or more.
_APART: Final = "celery-app"
_RATES: Final = {"rate_per_s": "NoteFlow Hooks", "bare_per_s": "bare loop", "obvious_per_s": "obvious Celery app"}
_PERCENTILES: Final = {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}
#: pygal adds its settings for a script that we don't load; they are removed.
_SCRIPT: Final = re.compile(rb"<script\b.*?</script>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Plot:
    """A bar chart: each series has a value, or None, for each label."""

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    kind: str = "Bar"

    def svg(self) -> bytes:
        """Return the plot as SVG."""
        pygal: Any = importlib.import_module("pygal")
        style = pygal.style.CleanStyle(background="white", plot_background="white")
        chart = getattr(pygal, self.kind)(
            js=[], no_prefix=True, legend_at_bottom=True, x_label_rotation=20, style=style
        )
        chart.title = self.title
        chart.x_labels = self.labels
        for name, values in self.series.items():
            chart.add(name, values)
        svg: bytes = chart.render()
        return _SCRIPT.sub(b"", svg)


def can_draw() -> bool:
    """Whether pygal is installed."""
    return importlib.util.find_spec("pygal") is not None


def draw(record: Record, folder: Path) -> None:
    """Write the plots for which there are figures."""
    for name, plot in plots(record).items():
        if plot.labels:
            (folder / f"{name}.svg").write_bytes(plot.svg())


def plots(record: Record) -> dict[str, Plot]:
    """Return the plots by their files' names."""
    ratios = [each for each in (*THROUGHPUT, *SCALING) if each.name != _APART]
    return {
        "ratios": _ratios(record, _measured(record, ratios, ["ratio"])),
        "rates": _medians(record, _measured(record, THROUGHPUT, _RATES), _RATES, title="Deliveries a second"),
        "latency": _medians(
            record, _measured(record, LATENCY, _PERCENTILES), _PERCENTILES, title="From publish to receipt, in ms"
        ),
        "cpu": _cpu(record),
    }


def _measured(record: Record, scenarios: Iterable[Scenario], figures: Iterable[str]) -> list[Scenario]:
    wanted = list(figures)
    return [each for each in scenarios if any(record.rounds(each.name, figure) for figure in wanted)]


def _ratios(record: Record, scenarios: Sequence[Scenario]) -> Plot:
    limits = [{bound.figure: bound.limit for bound in each.bounds} for each in scenarios]
    series = {
        "median": [_median(record, each.name, "ratio") for each in scenarios],
        "bound": [limit.get("ratio") for limit in limits],
    }
    return Plot("Throughput ÷ what was measured directly before", [each.name for each in scenarios], series)


def _medians(record: Record, scenarios: Sequence[Scenario], figures: Mapping[str, str], *, title: str) -> Plot:
    series = {label: [_median(record, each.name, figure) for each in scenarios] for figure, label in figures.items()}
    return Plot(title, [each.name for each in scenarios], series)


def _cpu(record: Record) -> Plot:
    found = [(scenario, figure) for scenario, figure, _ in record.all() if figure.startswith(CPU)]
    scenarios = list(dict.fromkeys(scenario for scenario, _ in found))
    series = {
        figure.removeprefix(CPU).removesuffix("_us"): [_median(record, each, figure) for each in scenarios]
        for figure in dict.fromkeys(figure for _, figure in found)
    }
    return Plot("Processor's time, in µs a delivery", scenarios, series, kind="HorizontalStackedBar")


def _median(record: Record, scenario: str, figure: str) -> float | None:
    values = record.rounds(scenario, figure)
    return statistics.median(values) if values else None
