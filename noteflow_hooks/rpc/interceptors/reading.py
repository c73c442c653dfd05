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
#: For so long a message may be on its way while others wait for its place; then its call is ended.
PATIENCE_S: Final = 5.0
#: The same for a call whose message has come: it is answered, or its answer is taken.
_ANSWERING_S: Final = 30.0
#: How long a call waits for its turn before it is refused.
_WAIT_S: Final = 30.0
#: A message up to here gives its place back once it has come; a larger one once its call is over.
_SMALL_BYTES: Final = 65_536


class _Place:
    """A place that is taken."""

    __slots__ = ("began", "give_up", "key", "patience_s")

    def __init__(self, key: Hashable, *, began: float, patience_s: float, give_up: Callable[[], None]) -> None:
        self.key = key
        self.began = began
        self.patience_s = patience_s
        #: Ends the call; None once it was called.
        self.give_up: Callable[[], None] | None = give_up


class _Turn(NamedTuple):
    """Somebody who waits for a place."""

    place: asyncio.Future[_Place]
    give_up: Callable[[], None]


class ReadBudget:
    """The places, of which each key has its share. Belongs to one event loop."""

    def __init__(self, *, most: int, per_key: int, patience_s: float = PATIENCE_S) -> None:
        """``patience_s`` is how long a place may be kept that others wait for."""
        self._most = most
        self._per_key = per_key
        self._patience_s = patience_s
        self._taken = 0
        #: By key, the longest kept first.
        self._places: dict[Hashable, dict[_Place, None]] = {}
        #: By key, who has waited longest first; no key has none.
        self._waiting: dict[Hashable, deque[_Turn]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, key: Hashable, *, give_up: Callable[[], None] | None = None) -> AsyncIterator[None]:
        """Wait for a place, and keep it for the block; ``give_up`` ends the call, by default by cancelling its task."""
        place = await self.take(key, give_up=give_up)
        try:
            yield
        finally:
            self.leave(place)

    async def take(self, key: Hashable, *, give_up: Callable[[], None] | None = None) -> _Place:
        """Wait for a place and return it; raise RateLimitError where there is none in time."""
        end = give_up if give_up is not None else _canceller()
        if key not in self._waiting and self._has_room(key):
            return self._occupy(key, end)
        turn = _Turn(asyncio.get_running_loop().create_future(), end)
        self._waiting.setdefault(key, deque()).append(turn)
        self._watch()
        try:
            async with asyncio.timeout(_WAIT_S):
                return await asyncio.shield(turn.place)
        except TimeoutError:
            self._give_up_waiting(key, turn)
            raise RateLimitError(
                "too many large messages are on their way; try again in 1 s", retry_after=timedelta(seconds=1)
            ) from None
        except BaseException:
            self._give_up_waiting(key, turn)
            raise

    def leave(self, place: _Place) -> None:
        """Give the place back, once."""
        own = self._places[place.key]
        del own[place]
        if not own:
            del self._places[place.key]
        self._taken -= 1
        self._admit()

    def _has_room(self, key: Hashable) -> bool:
        return self._taken < self._most and len(self._places.get(key, ())) < self._per_key

    def _occupy(self, key: Hashable, end: Callable[[], None]) -> _Place:
        began = asyncio.get_running_loop().time()
        place = _Place(key, began=began, patience_s=self._patience_s, give_up=end)
        self._places.setdefault(key, {})[place] = None
        self._taken += 1
        return place

    def _admit(self) -> None:
        """Let in who has waited longest, of the key that has the fewest places."""
        while keys := [key for key in self._waiting if self._has_room(key)]:
            key = min(keys, key=lambda each: len(self._places.get(each, ())))
            turn = self._waiting[key].popleft()
            if not self._waiting[key]:
                del self._waiting[key]
            turn.place.set_result(self._occupy(key, turn.give_up))

    def _give_up_waiting(self, key: Hashable, turn: _Turn) -> None:
        if turn.place.done():
            # Let in at the very moment when it went away.
            self.leave(turn.place.result())
            return
        self._waiting[key].remove(turn)
        if not self._waiting[key]:
            del self._waiting[key]

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s / 10, self._end_late)

    def _end_late(self) -> None:
        """End the calls that have kept places for too long: as many as wait for those, the longest kept first."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for key, waiting in self._waiting.items():
            is_full = len(self._places.get(key, ())) >= self._per_key
            holder = key if is_full else max(self._places, key=lambda each: len(self._places[each]))
            late = [each for each in self._places[holder] if each.give_up and now - each.began >= each.patience_s]
            for place in late[: len(waiting)]:
                end, place.give_up = place.give_up, None
                if end is not None:
                    end()
        if self._waiting:
            self._watch()


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
            place = await self._reads.take(current_workspace())
        except LimitError as error:
            return refusing(error)
        task, kept = current_task(), [place]

        def leave(_: object = None) -> None:
            while kept:
                self._reads.leave(kept.pop())

        task.add_done_callback(leave)
        behavior: Any = handler.unary_unary

        async def answer(request: Unread, context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
            if request.size <= _SMALL_BYTES and method not in LISTS:
                leave()
            else:
                place.patience_s = _ANSWERING_S
            return await behavior(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
