"""Where a process begins to measure and to answer: what that needs is imported here, and only if it is called."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.telemetry.counting import count_in

if TYPE_CHECKING:
    from noteflow_hooks.telemetry.answering import MetricsServer
    from noteflow_hooks.telemetry.memory import Figures, SharedFigures

_MISSING = "NOTEFLOW_HOOKS_METRICS_BIND needs one more package: pip install 'noteflow-hooks[metrics]'"


def has_client() -> bool:
    """Tell whether Prometheus' client is installed."""
    return find_spec("prometheus_client") is not None


def require_client() -> None:
    """Raise SettingsError where it is not."""
    if not has_client():
        raise SettingsError(_MISSING)


def measure(shared: SharedFigures, *, slot: int = 0) -> Figures:
    """Have this process count in that slot, and return where it does."""
    figures = shared.slot(slot)
    count_in(figures)
    return figures


def answer_metrics(bind: str, shared: SharedFigures) -> MetricsServer:
    """Answer at this address what all processes count; raise SettingsError where a package is missing."""
    require_client()
    from noteflow_hooks.telemetry.answering import MetricsServer  # noqa: PLC0415 - where nothing is measured, nothing is imported
    from noteflow_hooks.telemetry.collecting import FiguresCollector  # noqa: PLC0415 - as said

    server = MetricsServer(bind, FiguresCollector(shared))
    server.start()
    return server
