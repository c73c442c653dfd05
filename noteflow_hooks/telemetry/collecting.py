"""A program's figures as Prometheus' client takes them. Imported only where `/metrics` is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from noteflow_hooks.telemetry.memory import bound_of
from noteflow_hooks.telemetry.metrics import ALL, PREFIX, PROCESSES, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric as Family

    from noteflow_hooks.telemetry.memory import SharedFigures

#: Values by labels; of a histogram the sums, and with one more part the counts of each bucket by itself.
Rows: TypeAlias = Mapping[tuple[str, ...], float]


class FiguresCollector(Collector):
    """Collects what all processes of a program have counted."""

    def __init__(self, figures: SharedFigures) -> None:
        """Read these."""
        self._figures = figures

    def collect(self) -> Iterable[Family]:
        """Yield each metric that was counted, and those whose labels are known before."""
        sums, living = self._figures.totals()
        sums[(PROCESSES.name,)] = living
        for metric in ALL:
            rows = {key[1:]: value for key, value in sums.items() if key[0] == metric.name}
            if metric.known or rows:
                yield family(metric, rows)


def family(metric: Metric, rows: Rows) -> Family:
    """Return the metric with its samples, and with those whose labels are known and that were not counted."""
    name = PREFIX + metric.name
    if metric.kind == "histogram":
        return _histogram(name, metric, rows)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made: CounterMetricFamily | GaugeMetricFamily = kind(name, metric.help, labels=metric.labels)
    for labels, value in sorted((dict.fromkeys(metric.known, 0.0) | dict(rows)).items()):
        made.add_metric(labels, value)
    return made


def _histogram(name: str, metric: Metric, rows: Rows) -> Family:
    made, width = HistogramMetricFamily(name, metric.help, labels=metric.labels), len(metric.labels)
    for labels in sorted({*metric.known, *(key[:width] for key in rows)}):
        counts = {bound_of(key[-1]): value for key, value in rows.items() if key[:width] == labels != key}
        buckets, so_far = [], 0.0
        for bound in (*metric.buckets, float("inf")):
            so_far += counts.get(bound, 0.0)
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), so_far))
        made.add_metric(labels, buckets, sum_value=rows.get(labels, 0.0))
    return made
