"""When this program was told to end: its tasks wait less patiently then for what may never come back."""

from __future__ import annotations

import math
import mmap
import struct
from typing import Final

_MOMENT: Final = struct.Struct("d")


class Ending:
    """One for a program. What is noted in it, processes that were forked since it was made are told, too."""

    def __init__(self) -> None:
        """Nobody has told it to end."""
        # Shared with child processes: of a prefork worker's, none is told by a signal.
        self._shared = mmap.mmap(-1, _MOMENT.size)
        self._write(math.inf)

    @property
    def since(self) -> float:
        """The moment, by the monotonic clock, which all processes of a machine share; infinity before it."""
        moment: float = _MOMENT.unpack(self._shared[:])[0]
        return moment

    def note(self, moment: float) -> None:
        """Note that it is told to end; the first time counts."""
        self._write(min(moment, self.since))

    def _write(self, moment: float) -> None:
        self._shared[:] = _MOMENT.pack(moment)
