"""A program's figures as Prometheus' client takes them. Imported only where `/metrics` is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from noteflow_hooks.telemetry.memory import bound_of
from noteflow_hooks.telemetry.metrics import ALL, PREFIX, PROCESSES, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric as Family

    from noteflow_hooks.telemetry.memory import SharedFigures


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
                yield _family(metric, dict.fromkeys(metric.known, 0.0) | rows)


def _family(metric: Metric, rows: Mapping[tuple[str, ...], float]) -> Family:
    name = PREFIX + metric.name
    if metric.kind == "histogram":
        return _histogram(name, metric, rows)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(name, metric.help, labels=metric.labels)
    for labels, value in sorted(rows.items()):
        family.add_metric(labels, value)
    return family


def _histogram(name: str, metric: Metric, rows: Mapping[tuple[str, ...], float]) -> Family:
    counts = {bound_of(key[0]): value for key, value in rows.items() if key}
    buckets, so_far = [], 0.0
    for bound in (*metric.buckets, float("inf")):
        so_far += counts.get(bound, 0.0)
        buckets.append(("+Inf" if bound == float("inf") else str(bound), so_far))
    return HistogramMetricFamily(name, metric.help, buckets=buckets, sum_value=rows.get((), 0.0))
