"""What is left to be done once a call is answered, so that the caller waits neither for it nor for its effects."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: From a commit to the answer on its way it is 0.3 to 0.5 ms, and the loop's clock has whole milliseconds.
_ANSWERED_S: Final = 0.001


class AfterAnswers:
    """Makes calls a moment later, in the event loop that it was made in."""

    def __init__(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_over = False

    def put_off(self, call: Callable[[], None]) -> None:
        """Have it called, from any thread, whether or not anybody still waits for an answer.

        It must wait for nothing. After :meth:`close` it is called at once.
        """
        self._waiting.append(call)
        with suppress(RuntimeError):
            # The loop may be over before a thread that hung in the database.
            self._loop.call_soon_threadsafe(self._loop.call_later, _ANSWERED_S, self._make_next)
        if self._is_over:
            self._make_next()

    def close(self) -> None:
        """Make what waits, since the loop may end."""
        self._is_over = True
        while self._waiting:
            self._make_next()

    def _make_next(self) -> None:
        try:
            call = self._waiting.popleft()
        except IndexError:
            # Made as the server was closed, or by the other one of two threads.
            return
        call()
