"""Tasks that belong to the server: they outlive their callers, and a server that stops waits for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import timedelta

log = logging.getLogger(__name__)

T = TypeVar("T")


class OwnedTasks:
    """The tasks under way. The event loop itself has only weak references to tasks, so they are kept here."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin the work and return its task."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns; it runs to its end even if the caller is cancelled meanwhile."""
        return await asyncio.shield(self.start(work))

    async def drain(self, *, within: timedelta) -> None:
        """Wait for all tasks under way, and cancel those that take longer than ``within``."""
        if not self._running:
            return
        _, late = await asyncio.wait(set(self._running), timeout=within.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def repeat(call: Callable[[], Awaitable[object]], *, every: timedelta) -> None:
    """Call it for ever, with a pause of ``every`` before each call; a failure is logged and ends nothing."""
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await call()
        except UnavailableError as error:
            log.debug("put off, since the database does not answer: %s", error)
        except Exception:
            # The boundary of a background job: the next round is its retry.
            log.exception("a background job failed; it will be tried again")
