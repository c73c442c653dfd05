"""Become a command that Linux ends together with its parent: ``python launcher.py PARENT_PID COMMAND ...``.

However the parent ends, by kill -9 too, the command gets SIGTERM. Run by file, so it needs no import path: standard
library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Ask for the signal and become the command, unless the parent has gone meanwhile."""
    # It comes when the *thread* ends that started this process, so whoever starts it does so from the main thread.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
