"""Where a process begins to measure and to answer: what that needs is imported here, and only if it is called."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.telemetry.counting import count_in

if TYPE_CHECKING:
    from noteflow_hooks.telemetry.answering import MetricsServer
    from noteflow_hooks.telemetry.exporting import Refusals
    from noteflow_hooks.telemetry.memory import Figures, SharedFigures
    from noteflow_hooks.telemetry.spans import Tracer
    from noteflow_hooks.telemetry.trace_plan import TracePlan

#: What a process says that is to trace, where it can't.
NO_TRACING = (
    "OTEL_TRACES_EXPORTER, or a collector's endpoint, needs more packages: pip install 'noteflow-hooks[tracing]'"
)
_MISSING = "NOTEFLOW_HOOKS_METRICS_BIND needs one more package: pip install 'noteflow-hooks[metrics]'"


def has_client() -> bool:
    """Tell whether Prometheus' client is installed."""
    return find_spec("prometheus_client") is not None


def require_client() -> None:
    """Raise SettingsError where it is not."""
    if not has_client():
        raise SettingsError(_MISSING)


def has_tracing() -> bool:
    """Tell whether OpenTelemetry's SDK and its exporter are installed."""
    return all(map(_is_there, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")))


def require_tracing() -> None:
    """Raise SettingsError where one of the two is not."""
    if not has_tracing():
        raise SettingsError(NO_TRACING)


def import_tracing() -> None:
    """Import what traces, so that processes which are forked from this one share it; raise SettingsError without it."""
    require_tracing()
    from opentelemetry.context import get_current  # noqa: PLC0415 - where nothing is traced, nothing is imported

    from noteflow_hooks.telemetry import exporting, spans  # noqa: F401, PLC0415 - as said

    # Looks through all that is installed, once: not in a child's first task, whose deliveries are leased.
    get_current()


def start_tracing(plan: TracePlan, program: str, refusals: Refusals) -> Tracer:
    """Have this process trace: to be called behind any fork; raise SettingsError where a package is missing."""
    require_tracing()
    from noteflow_hooks.telemetry.exporting import span_processor  # noqa: PLC0415 - as said
    from noteflow_hooks.telemetry.spans import Tracer  # noqa: PLC0415 - as said

    return Tracer(span_processor(plan, refusals), plan.sampling, resource=plan.described(program))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


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
