"""Become a command that Linux ends when its parent ends: ``python launcher.py PARENT_PID COMMAND ...``.

However the parent ends, even by kill -9, the command gets SIGTERM. It is run as a file, without an import path, so it
uses the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Ask for the signal and become the command, unless the parent has ended meanwhile."""
    # The signal comes when the *thread* that started this process ends: so it must be started from the main thread.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
