"""Streams to browsers: each has a thread that waits for its next line, and there are so many at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import CapacityLimiter, to_thread
from starlette.responses import StreamingResponse

from noteflow_hooks.errors import LimitError, NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from noteflow_hooks.dashboard.visit import Stream

#: Streams at once, of all who are signed in. Each tab of *Live* has one while it is seen.
MOST: Final = 100


class Streams:
    """The open streams. Belongs to one event loop."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open = 0
        self._threads: CapacityLimiter | None = None

    def response(self, stream: Stream, *, goes_on: Callable[[], bool]) -> StreamingResponse:
        """Return the stream as an answer, which ends once ``goes_on`` is False; raise LimitError for one too many."""
        if self._open >= self._most:
            stream.cancel()
            raise LimitError(f"{self._most} pages are live already: close one, or try again later")
        return StreamingResponse(self._lines(stream, goes_on), media_type="application/x-ndjson")

    async def _lines(self, stream: Stream, goes_on: Callable[[], bool]) -> AsyncIterator[str]:
        if self._threads is None:
            self._threads = CapacityLimiter(self._most)
        self._open += 1
        try:
            while True:
                line = await to_thread.run_sync(_next, stream, abandon_on_cancel=True, limiter=self._threads)
                # Who has lost the session meanwhile is told nothing more.
                if line is None or not goes_on():
                    return
                yield line
        finally:
            self._open -= 1
            stream.cancel()


def _next(stream: Stream) -> str | None:
    """Return the next line; None at the end, whatever has ended it: the page asks again, and is told then."""
    try:
        return next(stream.lines, None)
    except NoteFlowHooksError:
        return None
