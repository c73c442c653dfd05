"""Ctrl-C for commands that run other processes: it is noticed between steps, and never cuts one in half."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Notes SIGINT, SIGTERM and SIGHUP inside its ``with`` block, however many come. Needs the main thread.

    An exception raised by a signal could come between the start of a process and the line that remembers it.
    """

    def __init__(self) -> None:
        #: Whether the process was told to end.
        self.seen = False
        self._before: dict[signal.Signals, object] = {}

    def check(self) -> None:
        """Raise KeyboardInterrupt where the process was told to end."""
        if self.seen:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._note) for each in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]  # what signal() itself returned

    def _note(self, _: int, __: FrameType | None) -> None:
        self.seen = True
