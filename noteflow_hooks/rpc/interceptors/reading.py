"""How many messages may be on their way into the server at once: each may take 4 MiB before anybody can refuse it.

gRPC takes in a message that somebody waits for, up to its limit for all methods, whichever it is of. What it takes in
of those that nobody waits for is bounded by its window, 64 KiB. So a call begins to wait only when it is its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc

from noteflow_hooks.errors import LimitError, RateLimitError
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.interceptors.errors import OURS, refusing
from noteflow_hooks.rpc.interceptors.open_calls import current_task
from noteflow_hooks.rpc.interceptors.scopes import LISTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from noteflow_hooks.rpc.interceptors.errors import Unread
    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

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
_ANSWERING_S: Final = 30.0
#: How long a call waits for its turn before it is refused.
_WAIT_S: Final = 30.0
#: A message up to here gives its permit back once it has come; a larger one once its call is over.
_SMALL_BYTES: Final = 65_536


class _Permit:
    """A permit that is taken."""

    __slots__ = ("began", "give_up", "key", "patience_s")

    def __init__(self, key: Hashable, *, began: float, patience_s: float, give_up: Callable[[], None]) -> None:
        self.key = key
        self.began = began
        self.patience_s = patience_s
        #: Ends the call; None once it was called.
        self.give_up: Callable[[], None] | None = give_up


class _Waiter(NamedTuple):
    """Somebody who waits for a permit."""

    permit: asyncio.Future[_Permit]
    give_up: Callable[[], None]


class ReadBudget:
    """The permits, of which each key has its share. Belongs to one event loop."""

    def __init__(self, *, most: int, per_key: int, patience_s: float = PATIENCE_S) -> None:
        """``patience_s`` is how long a permit may be kept that others wait for."""
        self._most = most
        self._per_key = per_key
        self._patience_s = patience_s
        self._taken = 0
        #: By key, the longest kept first.
        self._permits: dict[Hashable, dict[_Permit, None]] = {}
        #: By key, who has waited longest first; no key has none.
        self._waiting: dict[Hashable, deque[_Waiter]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def permit(self, key: Hashable, *, give_up: Callable[[], None] | None = None) -> AsyncIterator[None]:
        """Wait for a permit and keep it for the block; ``give_up`` ends the call, by default by cancelling its task."""
        permit = await self.take(key, give_up=give_up)
        try:
            yield
        finally:
            self.leave(permit)

    async def take(self, key: Hashable, *, give_up: Callable[[], None] | None = None) -> _Permit:
        """Wait for a permit and return it; raise RateLimitError where there is none in time."""
        end = give_up if give_up is not None else _canceller()
        if key not in self._waiting and self._has_room(key):
            return self._occupy(key, end)
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

    def leave(self, permit: _Permit) -> None:
        """Give the permit back, once."""
        own = self._permits[permit.key]
        del own[permit]
        if not own:
            del self._permits[permit.key]
        self._taken -= 1
        self._admit()

    def _has_room(self, key: Hashable) -> bool:
        return self._taken < self._most and len(self._permits.get(key, ())) < self._per_key

    def _occupy(self, key: Hashable, end: Callable[[], None]) -> _Permit:
        began = asyncio.get_running_loop().time()
        permit = _Permit(key, began=began, patience_s=self._patience_s, give_up=end)
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


def _canceller() -> Callable[[], None]:
    task = current_task()

    def cancel() -> None:
        task.cancel()

    return cancel


class ReadInterceptor(grpc.aio.ServerInterceptor):
    """Has unary calls wait for their turn before their message is read."""

    def __init__(self, reads: ReadBudget) -> None:
        self._reads = reads

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler once the call's message may come."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or handler.unary_unary is None or not method.startswith(OURS):
            return handler
        try:
            permit = await self._reads.take(current_workspace())
        except LimitError as error:
            return refusing(error)
        task, kept = current_task(), [permit]

        def leave(_: object = None) -> None:
            while kept:
                self._reads.leave(kept.pop())

        task.add_done_callback(leave)
        behavior: Any = handler.unary_unary

        async def answer(request: Unread, context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
            if request.size <= _SMALL_BYTES and method not in LISTS:
                leave()
            else:
                permit.patience_s = _ANSWERING_S
            return await behavior(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
