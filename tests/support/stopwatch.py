"""A stopwatch for bounds on how long something takes: it leaves out what the machine itself stood still for."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_TICK_S: Final = 0.01


class Stopwatch:
    """Runs while its block does.

    It counts the ticks of a thread, of which there are none in a pause of the process or of the machine: it never shows
    more than the time that has passed, and about that on a machine that is not interrupted.
    """

    def __enter__(self) -> Self:
        self._ticks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """What it shows."""
        return self._ticks * _TICK_S

    def _run(self) -> None:
        while not self._ended.wait(_TICK_S):
            self._ticks += 1


@contextlib.contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Fail where the block takes longer, also one that ends with an error."""
    with Stopwatch() as watch:
        try:
            yield
        finally:
            assert watch.seconds < seconds, f"answered after {watch.seconds:.2f} s"
