"""All that relies on what Flower keeps to itself: where it asks for no login, and which columns it shows.

``tests/unit/test_flower_internals.py`` names the version that was read, and holds each thing that is relied on. Flower
asks for no login anywhere where its options have none.
"""

from __future__ import annotations

from typing import Any, Final

from flower import options as flower_options
from flower.views import monitor
from tornado import web

#: What the list of tasks shows where nobody has chosen other columns: Flower's own leaves out arguments and results.
COLUMNS: Final = "name,args,result,state,received,runtime,worker,uuid"
#: Flower's own choice.
FLOWERS_COLUMNS: Final = "name,uuid,state,received,runtime,worker"
_Metrics: Any = monitor.Metrics
_open_metrics: Final = _Metrics.get
_options: Any = flower_options.options


def ask_for_the_login() -> None:
    """Have `/metrics`, which names workers and tasks, ask for the login as pages do; `/healthcheck` says OK to all."""
    _Metrics.get = web.authenticated(_open_metrics)


def show_arguments_and_results() -> None:
    """Show the columns in place of Flower's own choice."""
    if _options.tasks_columns == FLOWERS_COLUMNS:
        _options.tasks_columns = COLUMNS
