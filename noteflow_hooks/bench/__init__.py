"""`bench`: the whole system measured against a bare loop and against the obvious Celery app, in ratios of one run.

Only ratios between measurements that lie side by side mean anything on a machine that does other things too.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """Find the command when it is asked for: the benchmark's processes are modules of this package, and need none."""
    if name != "bench":
        raise AttributeError(name)
    return importlib.import_module("noteflow_hooks.cli.commands.bench").bench
