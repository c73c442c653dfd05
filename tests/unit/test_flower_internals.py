"""What we rely on of Flower's own: a new version is read against this file."""

from __future__ import annotations

import importlib.metadata
import inspect
from typing import Any

from flower import options as flower_options
from flower.urls import handlers
from flower.views import monitor, tasks

from workers import flower_internals

READ = "2.2.0"
#: What answers without a login: the pages' files, the way to log in, and that it runs.
OPEN = {"/healthcheck", "/static/(.*)", "/login/?", "/logout", ".*"}


def test_the_version_that_was_read_is_the_one_that_runs() -> None:
    """What follows was found in its source."""
    assert importlib.metadata.version("flower") == READ


def test_all_that_shows_something_is_known() -> None:
    """A new address of Flower's is to be looked at: does it ask for the login?"""
    patterns = {(getattr(each, "regex", None) and each.regex.pattern.rstrip("$")) or each[0] for each in handlers}
    shown = {each for each in patterns if not each.startswith("/api/")} - OPEN
    assert shown == {"/", "/workers", "/worker/(.+)", "/task/(.+)", "/tasks", "/tasks/datatable", "/broker", "/metrics"}


def test_metrics_are_answered_by_a_method_that_can_be_wrapped() -> None:
    """Its handler is looked up at each request."""
    assert inspect.iscoroutinefunction(monitor.Metrics.get)
    assert monitor.Metrics.__mro__[1].__name__ == "BaseHandler"


def test_the_columns_are_ones_that_flower_has() -> None:
    """Arguments and results among them; whoever has chosen others sees those."""
    names = flower_internals.COLUMNS.split(",")
    assert set(names) <= set(tasks.TASK_COLUMNS)
    assert {"args", "result"} <= set(names)
    options: Any = flower_options.options
    default = options.tasks_columns
    assert default == flower_internals.FLOWERS_COLUMNS
    try:
        options.tasks_columns = "name,state"
        flower_internals.show_arguments_and_results()
        assert options.tasks_columns == "name,state"
        options.tasks_columns = default
        flower_internals.show_arguments_and_results()
        assert options.tasks_columns == flower_internals.COLUMNS
    finally:
        options.tasks_columns = default
