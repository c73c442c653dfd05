"""Blocking code in the event loop's own thread: where it would wait, it is put aside, and the loop goes on with others.

A call that is handed to a thread and back takes locks, wakes two threads, and has them compete for Python's lock, which
costs more than most of our statements. A greenlet costs a microsecond.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from greenlet import getcurrent, greenlet

from noteflow_hooks.concurrency.kept_threads import KeptThreads

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

T = TypeVar("T")

#: What a wait for a socket is about, and what came of it; both may be set.
READABLE: Final = 1
WRITABLE: Final = 2
#: As many as a server has connections: what waits there is mostly a new one.
THREADS: Final = 10


class _LoopGreenlet(greenlet):
    """Makes calls in the loop's thread, one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[_LoopGreenlet]) -> None:
        super().__init__()
        self.loop = loop
        #: Where the loop itself runs.
        self.loops = getcurrent()
        self._idle = idle

    def run(self, call: Callable[[], None]) -> None:
        while True:
            call()
            # What has nothing to do holds on to nothing: a call may hold a payload.
            del call
            self._idle.append(self)
            call = self.loops.switch()


class LoopGreenlets:
    """The greenlets of one loop. Each is kept for the next call: a new one needs memory that the system has to give."""

    def __init__(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._idle: list[_LoopGreenlet] = []

    def begin(self, call: Callable[[], None], *, context: Context) -> None:
        """Make the call in a context of its own, up to where it first waits; it must not raise."""
        made = self._idle.pop() if self._idle else _LoopGreenlet(self._loop, self._idle)
        made.gr_context = context
        made.switch(call)

    def close(self) -> None:
        """End those that have nothing to do."""
        while self._idle:
            self._idle.pop().throw()


class SocketWaits:
    """Waits for one socket, which the loop goes on watching between the waits: that costs less than to begin anew."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._is_watched = False
        self._waiting: Any = None

    def wait(self, wanted: int) -> int:
        """Wait until it is readable or writable, as wanted, and return which of both it is."""
        own: Any = getcurrent()
        if not self._is_watched:
            self._register(own.loop)
        if wanted & WRITABLE:
            own.loop.add_writer(self._fileno, self._ready, own.loop, WRITABLE)
        self._waiting = own
        try:
            found: int = own.parent.switch()
        finally:
            self._waiting = None
            if wanted & WRITABLE:
                own.loop.remove_writer(self._fileno)
        return found

    def _register(self, loop: asyncio.AbstractEventLoop) -> None:
        # A socket of that number may have been closed while it was watched: the loop believes that it still is, and
        # can add nothing to what the system has forgotten.
        loop.remove_reader(self._fileno)
        loop.add_reader(self._fileno, self._ready, loop, READABLE)
        self._is_watched = True

    def _ready(self, loop: asyncio.AbstractEventLoop, found: int) -> None:
        if self._waiting is not None:
            self._waiting.switch(found)
            return
        # The server has closed it, or a thread waits for it just now.
        self._is_watched = False
        loop.remove_reader(self._fileno)


def give_way() -> None:
    """Let the loop go on with others for one pass; outside a greenlet of it there is nobody to wait."""
    own = getcurrent()
    if isinstance(own, _LoopGreenlet):
        own.loop.call_soon(own.switch)
        own.loops.switch()


class LoopWaits:
    """How code waits that may run in such a greenlet."""

    def __init__(self, *, threads: int = THREADS) -> None:
        """``threads`` is how many calls may be made aside at once."""
        self._threads = KeptThreads(threads, name="aside")

    @staticmethod
    def is_aside() -> bool:
        """Tell whether what runs now can be put aside."""
        return type(getcurrent()) is _LoopGreenlet

    @staticmethod
    def of_socket(fileno: int) -> SocketWaits:
        """Return what waits for that socket."""
        return SocketWaits(fileno)

    @staticmethod
    def give_way() -> None:
        """Let the loop go on with others for one pass, in the midst of what takes long."""
        give_way()

    def in_thread(self, call: Callable[[], T]) -> T:
        """Return what the call returns, made in a thread: it waits for something else than a socket of ours.

        Such a thread keeps no process alive that is ending, and nobody else's work waits for one.
        """
        own: Any = getcurrent()
        made: list[T | BaseException] = []

        def make() -> None:
            try:
                made.append(call())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
                made.append(error)
            # The loop may be over before a thread that hung.
            with contextlib.suppress(RuntimeError):
                own.loop.call_soon_threadsafe(own.switch)

        self._threads.submit(make)
        own.parent.switch()
        [found] = made
        if isinstance(found, BaseException):
            raise found
        return found
