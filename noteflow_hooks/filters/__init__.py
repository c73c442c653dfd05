"""Filters in CEL: the one place that imports the library behind :class:`FilterEvaluator`."""

from noteflow_hooks.filters.evaluator import CelFilters

__all__ = ["CelFilters"]
