"""docs/metrics.md names each metric, and none that there is not."""

from __future__ import annotations

from noteflow_hooks.telemetry.metrics import ALL, PREFIX
from tests.support.metrics_page import rows_under


def test_the_page_has_each_metric_of_processes_with_its_type_and_labels() -> None:
    """Both ways: a row for each, and each row's metric is there."""
    expected = {
        f"{PREFIX}{each.name}{'_total' if each.kind == 'counter' else ''}": (each.kind, each.labels) for each in ALL
    }
    assert rows_under("From processes") == expected
