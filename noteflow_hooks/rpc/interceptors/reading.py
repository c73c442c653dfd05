"""How many messages may be on their way into the server at once: each may take 4 MiB before anybody can refuse it.

gRPC takes in a message that somebody waits for, up to its limit for all methods, whichever it is of. What it takes in
of those that nobody waits for is bounded by its window, 64 KiB. So a call begins to wait only when it is its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.errors import RateLimitError
from noteflow_hooks.rpc.interceptors.open_calls import current_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

#: Messages of callers with a token that may be on their way at once: 640 MiB at the very most.
MESSAGES_AT_ONCE: Final = 160
#: Those of one workspace.
MESSAGES_PER_WORKSPACE: Final = 120
#: Those of callers without a token, and of one address of these.
STRANGERS_AT_ONCE: Final = 16
STRANGERS_PER_ADDRESS: Final = 4
#: For so long a message may be on its way while others wait for one; then its call is ended.
PATIENCE_S: Final = 5.0
#: The same for a call whose message has come: it is answered, or its answer is taken.
ANSWERING_S: Final = 30.0
#: How long a call waits for its turn before it is refused.
_WAIT_S: Final = 30.0


class Permit:
    """A permit that is taken."""

    __slots__ = ("began", "give_up", "key", "patience_s")

    def __init__(self, key: Hashable, *, began: float, patience_s: float, give_up: Callable[[], object]) -> None:
        self.key = key
        self.began = began
        self.patience_s = patience_s
        #: Ends the call; None once it was called.
        self.give_up: Callable[[], object] | None = give_up


class _Waiter(NamedTuple):
    """Somebody who waits for a permit."""

    permit: asyncio.Future[Permit]
    give_up: Callable[[], object]


class ReadBudget:
    """The permits, of which each key has its share. Belongs to one event loop."""

    def __init__(self, *, most: int, per_key: int, patience_s: float = PATIENCE_S) -> None:
        """``patience_s`` is how long a permit may be kept that others wait for."""
        self._most = most
        self._per_key = per_key
        self._patience_s = patience_s
        self._taken = 0
        #: By key, the longest kept first.
        self._permits: dict[Hashable, dict[Permit, None]] = {}
        #: By key, who has waited longest first; no key has none.
        self._waiting: dict[Hashable, deque[_Waiter]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def permit(self, key: Hashable, *, give_up: Callable[[], object] | None = None) -> AsyncIterator[None]:
        """Wait for a permit and keep it for the block; ``give_up`` ends the call, by default by cancelling its task."""
        permit = await self.take(key, give_up=give_up)
        try:
            yield
        finally:
            self.leave(permit)

    async def take(self, key: Hashable, *, give_up: Callable[[], object] | None = None) -> Permit:
        """Wait for a permit and return it; raise RateLimitError where there is none in time."""
        permit = self.take_now(key, give_up=give_up)
        if permit is not None:
            return permit
        end = give_up if give_up is not None else current_task().cancel
        waiter = _Waiter(asyncio.get_running_loop().create_future(), end)
        self._waiting.setdefault(key, deque()).append(waiter)
        self._schedule()
        try:
            async with asyncio.timeout(_WAIT_S):
                return await asyncio.shield(waiter.permit)
        except TimeoutError:
            self._give_up_waiting(key, waiter)
            raise RateLimitError(
                "too many large messages are on their way; try again in 1 s", retry_after=timedelta(seconds=1)
            ) from None
        except BaseException:
            self._give_up_waiting(key, waiter)
            raise

    def take_now(self, key: Hashable, *, give_up: Callable[[], object] | None = None) -> Permit | None:
        """Return a permit where there is one for the key that nobody waits for, else None."""
        if key in self._waiting or not self._has_room(key):
            return None
        return self._occupy(key, give_up if give_up is not None else current_task().cancel)

    def leave(self, permit: Permit) -> None:
        """Give the permit back, once."""
        own = self._permits[permit.key]
        del own[permit]
        if not own:
            del self._permits[permit.key]
        self._taken -= 1
        self._admit()

    def _has_room(self, key: Hashable) -> bool:
        return self._taken < self._most and len(self._permits.get(key, ())) < self._per_key

    def _occupy(self, key: Hashable, end: Callable[[], object]) -> Permit:
        began = asyncio.get_running_loop().time()
        permit = Permit(key, began=began, patience_s=self._patience_s, give_up=end)
        self._permits.setdefault(key, {})[permit] = None
        self._taken += 1
        return permit

    def _admit(self) -> None:
        """Let in who has waited longest, of the key that has the fewest permits."""
        while keys := [key for key in self._waiting if self._has_room(key)]:
            key = min(keys, key=lambda each: len(self._permits.get(each, ())))
            waiter = self._waiting[key].popleft()
            if not self._waiting[key]:
                del self._waiting[key]
            waiter.permit.set_result(self._occupy(key, waiter.give_up))

    def _give_up_waiting(self, key: Hashable, waiter: _Waiter) -> None:
        if waiter.permit.done():
            # Let in at the very moment when it went away.
            self.leave(waiter.permit.result())
            return
        self._waiting[key].remove(waiter)
        if not self._waiting[key]:
            del self._waiting[key]

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s / 10, self._end_late)

    def _end_late(self) -> None:
        """End the calls that have kept permits for too long: as many as wait for them, the longest kept first."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, waiting in self._waiting.items():
            is_full = len(self._permits.get(key, ())) >= self._per_key
            holder = key if is_full else max(self._permits, key=lambda each: len(self._permits[each]))
            late = [each for each in self._permits[holder] if each.give_up and now - each.began >= each.patience_s]
            for permit in late[: len(waiting)]:
                end, permit.give_up = permit.give_up, None
                if end is not None:
                    end()
        if self._waiting:
            self._schedule()
