"""How many calls are open, by whatever they are counted by; and an end for those that nobody goes on with."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from noteflow_hooks.errors import LimitError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    #: What is called when a call is over, and what takes such a thing.
    Leave: TypeAlias = Callable[[asyncio.Task[Any]], object]
    AtEnd: TypeAlias = Callable[[Leave], None]


class OpenCalls:
    """How many calls are open, by key."""

    def __init__(self, kind: str, *, most: int) -> None:
        self._kind = kind
        self._most = most
        self._open: dict[Hashable, int] = {}

    def enter(self, key: Hashable, *, at_end: AtEnd | None = None) -> None:
        """Count a call until it ends; raise LimitError where as many are open as may be.

        ``at_end`` takes what is to be called then, with the call's task; by default the running task's end counts.
        """
        leave = self._occupy(key)
        if leave is None:
            raise LimitError(
                f"at most {self._most} {self._kind} may be open at once, and they are; end some first",
                reason=Reason.TOO_MANY_CALLS,
            )
        (at_end if at_end is not None else current_task().add_done_callback)(leave)

    def _occupy(self, key: Hashable) -> Callable[[asyncio.Task[Any]], None] | None:
        """Count one more and return what counts it no longer; None where there is no room."""
        count = self._open.get(key, 0)
        if count >= self._most:
            return None
        self._open[key] = count + 1
        return partial(self._leave, key)

    def _leave(self, key: Hashable, _: asyncio.Task[Any]) -> None:
        count = self._open.pop(key)
        if count > 1:
            self._open[key] = count - 1


def cancel_call_after(seconds: float) -> None:
    """Cancel the running task after so long: its message may never come, or its answer never be taken."""
    task = current_task()
    timer = asyncio.get_running_loop().call_later(seconds, task.cancel)
    task.add_done_callback(lambda _: timer.cancel())


def current_task() -> asyncio.Task[Any]:
    """Return the task that runs: gRPC answers each call in one."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("calls are answered in tasks")
    return task
