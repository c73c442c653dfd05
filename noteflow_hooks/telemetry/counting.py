"""Where rare things are counted, an error above all: one call, which does nothing in a process that measures nothing.

The usual way of a delivery has none of it: what is measured there is put around it where the process is wired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noteflow_hooks.telemetry.memory import Figures
    from noteflow_hooks.telemetry.metrics import Metric

_figures: Figures | None = None


def count_in(figures: Figures | None) -> None:
    """Have this process count there from now on; None for not at all."""
    global _figures  # noqa: PLW0603 - a process has one, and who meets an error has no other way to it
    _figures = figures


def figures() -> Figures | None:
    """Return where this process counts; None where it measures nothing."""
    return _figures


def count(metric: Metric, *labels: str, by: float = 1.0) -> None:
    """Count, if this process measures."""
    if _figures is not None:
        _figures.add(_figures.row(metric, *labels), by)


def note(metric: Metric, value: float) -> None:
    """Say how much a gauge is now, if this process measures."""
    if _figures is not None:
        _figures.set(_figures.row(metric), value)
