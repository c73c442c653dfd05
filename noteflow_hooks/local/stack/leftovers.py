"""Ends the programs that a killed run has left, found by the folder that they run in.

The embedded servers look after their own. A pid in a file could by now be another process's; the folder is ours alone,
and the command line must be one of ours too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import psutil

from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.stack.programs import MARKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_S: Final = 3.0


def end_leftovers(folder: Path) -> None:
    """End our programs that still run in ``folder``. Only the holder of the data folder's lock may call this."""
    leftovers = list(_ours(folder))
    for process in leftovers:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.resume()
    _, alive = psutil.wait_procs(leftovers, timeout=_PATIENCE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=_PATIENCE_S)
    if alive:
        raise NoteFlowHooksError(f"process {alive[0].pid} of an earlier run still works in {folder} and can't be ended")


def _ours(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        # It has ended meanwhile, or is another user's: neither is one of ours.
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and any(mark in process.cmdline() for mark in MARKS):
                yield process
