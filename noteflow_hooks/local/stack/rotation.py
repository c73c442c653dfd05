"""Keeps the logs of `up` small: one that has grown is copied aside, and emptied where its process goes on writing."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: From so many bytes on a log is copied aside.
LARGE: Final = 10_000_000
#: So many copies of each are kept.
KEPT: Final = 3
_LOOK_EVERY_S: Final = 5.0


class Rotation:
    """Rotates the logs of a folder. Processes append to them, so that each goes on at the beginning of an empty one."""

    def __init__(self, folder: Path, *, large: int = LARGE, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._large = large
        self._monotonic = monotonic
        self._next = 0.0

    def look(self) -> None:
        """Rotate what has grown too large; looks every few seconds, however often it is called."""
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_EVERY_S
        for log in self._folder.glob("*.log"):
            # Gone meanwhile, or on a disk that takes nothing: the next look tries again.
            with contextlib.suppress(OSError):
                if log.stat().st_size >= self._large:
                    _rotate(log)


def _rotate(log: Path) -> None:
    copies = [log.with_name(f"{log.name}.{number}") for number in range(1, KEPT + 1)]
    for older, newer in zip(reversed(copies), reversed(copies[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)
    try:
        shutil.copyfile(log, copies[0])
        copies[0].chmod(0o600)
    except OSError:
        # On a full disk the room is needed more than what the log has.
        copies[0].unlink(missing_ok=True)
    with log.open("r+b") as file:
        file.truncate(0)
