"""Counters and histograms out of the running totals, which a purge doesn't lower and which all exporters read alike."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.stats import BOUNDS_MS, NO_KIND, SUCCEEDED, Measure
from noteflow_hooks.exporter.metrics import ATTEMPTS, DURATION, ENDED, EVENTS, LATENCY, TRIES
from noteflow_hooks.telemetry.memory import bucket_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from noteflow_hooks.domain.stats import Count
    from noteflow_hooks.telemetry.collecting import Rows
    from noteflow_hooks.telemetry.metrics import Metric


def of_totals(totals: Iterable[Count]) -> dict[Metric, Rows]:
    """Return the rows of each metric: by its labels, of a histogram with the bound of a bucket behind them."""
    rows: dict[Metric, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
    for each in totals:
        for metric, labels in _counted_as(each):
            rows[metric][labels] += each.number
        if (observed := _OBSERVED.get(each.measure)) is not None:
            metric, is_tries = observed
            labels = (each.kind,) if metric.labels else ()
            value, unit = (each.bin, 1) if is_tries else (_upper_s(each.bin), 1000)
            bound = next((bound for bound in metric.buckets if value <= bound), float("inf"))
            rows[metric][(*labels, bucket_label(bound))] += each.number
            rows[metric][labels] += each.total_ms / unit
    return dict(rows)


#: The histograms, and whether the bins are numbers of attempts and no durations.
_OBSERVED: Final[dict[str, tuple[Metric, bool]]] = {
    Measure.ATTEMPT: (DURATION, False),
    Measure.LATENCY: (LATENCY, False),
    Measure.TRIES: (TRIES, True),
}


def _counted_as(each: Count) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Yield the counters that it counts for."""
    match each.measure:
        case Measure.EVENT:
            yield EVENTS, (each.kind,)
        case Measure.ATTEMPT:
            yield ATTEMPTS, ((SUCCEEDED, NO_KIND) if each.kind == SUCCEEDED else ("failed", each.kind))
        case Measure.DEAD | Measure.SKIPPED:
            yield ENDED, (str(each.measure), each.kind)
        case Measure.TRIES if each.kind == SUCCEEDED:
            yield ENDED, (SUCCEEDED, NO_KIND)
        case _:
            pass


def _upper_s(number: int) -> float:
    return BOUNDS_MS[number] / 1000 if number < len(BOUNDS_MS) else float("inf")
