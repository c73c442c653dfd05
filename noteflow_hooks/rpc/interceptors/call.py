"""One call of our services, from the moment when its caller is known until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.rpc.interceptors.open_calls import current_task
from noteflow_hooks.rpc.interceptors.reading import ANSWERING_S

if TYPE_CHECKING:
    import asyncio

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.rpc.interceptors.expiry import Expiry
    from noteflow_hooks.rpc.interceptors.open_calls import Leave
    from noteflow_hooks.rpc.interceptors.reading import Permit, ReadBudget

#: A message up to here gives its permit back once it has come; a larger one once its call is over.
_SMALL_BYTES: Final = 65_536


class Call:
    """What a call holds: a permit to read its message, and its place among those that may take only so long."""

    __slots__ = ("_expiry", "_leaving", "_reads", "_task", "caller", "is_answering", "is_late", "method", "permit")

    def __init__(self, caller: ApiToken, method: str) -> None:
        """It belongs to the running task."""
        self.caller = caller
        self.method = method
        #: The permit to read its message, while it has one.
        self.permit: Permit | None = None
        #: Whether its message has come, so that it is being answered.
        self.is_answering = False
        #: Whether it was cancelled for having taken too long.
        self.is_late = False
        self._task = current_task()
        self._leaving: list[Leave] = []

    def at_end(self, leave: Leave) -> None:
        """Have it called when the call is over."""
        if not self._leaving:
            # One for all: each would cost a turn of the loop.
            self._task.add_done_callback(self._over)
        self._leaving.append(leave)

    def begin(self, expiry: Expiry, reads: ReadBudget) -> None:
        """End it when it takes too long; when it is over, give a permit back that it still has."""
        self._expiry, self._reads = expiry, reads
        expiry.add(self)
        self.at_end(self._end_own)

    def came(self, size: int, *, is_list: bool) -> None:
        """Note that its message has come, with so many bytes."""
        self.is_answering = True
        if size <= _SMALL_BYTES and not is_list:
            self._leave()
        elif self.permit is not None:
            self.permit.patience_s = ANSWERING_S

    def endure(self) -> None:
        """Let it take any time from now on: it is answered by a stream, and its message was read."""
        self._expiry.discard(self)
        self._leave()

    def end(self) -> None:
        """Cancel it."""
        self._task.cancel()

    def end_late(self) -> None:
        """Cancel it, for its handler to say that it took too long."""
        self.is_late = True
        self._task.cancel()

    def forgive(self) -> None:
        """Take the cancelling back, so that it can still be answered."""
        self._task.uncancel()

    def _over(self, task: asyncio.Task[object]) -> None:
        for leave in self._leaving:
            leave(task)

    def _end_own(self, _: object) -> None:
        self._expiry.discard(self)
        self._leave()

    def _leave(self) -> None:
        permit, self.permit = self.permit, None
        if permit is not None:
            self._reads.leave(permit)
