"""Many events in as many calls as they need: in order, each with its outcome; only what may be repeated is.

What to do next is worked out in one place (:func:`_steps`), which waits for nothing; a thread or a task carries it out.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from noteflow_hooks.client.answers import of_status
from noteflow_hooks.client.retrying import keyed as with_key
from noteflow_hooks.errors import NoteFlowHooksError, RateLimitError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
    from datetime import timedelta

#: The stored event, or why it is not stored.
Outcome: TypeAlias = "pb.Event | NoteFlowHooksError"
#: What is to be done next: a call, or a pause of so many seconds.
Step: TypeAlias = "pb.PublishEventsRequest | float"

#: What one call takes: so many events, and less than the 4 MiB of a message.
_EVENTS: Final = 500
_BYTES: Final = 3_500_000
#: What an event takes up in a message beside itself.
_OVERHEAD: Final = 8
#: How long to wait before the first repetition; before each later one twice as long, up to the last.
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 5.0


class Batches:
    """Publishes events in batches, and blocks meanwhile."""

    def __init__(
        self,
        call: Callable[..., pb.PublishEventsResponse],
        server: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``call`` is PublishEvents, and raises the project's errors; ``server`` is named where it doesn't answer."""
        self._call = call
        self._server = server
        self._sleep = sleep
        self._clock = clock

    def publish(self, requests: Iterable[pb.PublishEventRequest], *, patience: timedelta, keyed: bool) -> list[Outcome]:
        """Return one outcome for each request; raise what the first call of all fails with."""
        steps = _steps(requests, patience=patience, keyed=keyed, server=self._server, clock=self._clock)
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcomes: list[Outcome] = end.value
                return outcomes
            answer = self._carry_out(step)

    def _carry_out(self, step: Step) -> pb.PublishEventsResponse | NoteFlowHooksError | None:
        if isinstance(step, float):
            self._sleep(step)
            return None
        try:
            return self._call(step)
        except NoteFlowHooksError as error:
            return error


class AsyncBatches:
    """Publishes events in batches, in an event loop."""

    def __init__(self, call: Callable[..., Awaitable[pb.PublishEventsResponse]], server: str) -> None:
        """Take what :class:`Batches` takes."""
        self._call = call
        self._server = server

    async def publish(
        self, requests: Iterable[pb.PublishEventRequest], *, patience: timedelta, keyed: bool
    ) -> list[Outcome]:
        """Return one outcome for each request; raise what the first call of all fails with."""
        steps = _steps(requests, patience=patience, keyed=keyed, server=self._server, clock=time.monotonic)
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                outcomes: list[Outcome] = end.value
                return outcomes
            answer = await self._carry_out(step)

    async def _carry_out(self, step: Step) -> pb.PublishEventsResponse | NoteFlowHooksError | None:
        if isinstance(step, float):
            await asyncio.sleep(step)
            return None
        try:
            return await self._call(step)
        except NoteFlowHooksError as error:
            return error


def _steps(
    requests: Iterable[pb.PublishEventRequest],
    *,
    patience: timedelta,
    keyed: bool,
    server: str,
    clock: Callable[[], float],
) -> Generator[Step, Any, list[Outcome]]:
    """Yield what is to be done, be sent a call's answer or error, and return one outcome for each request."""
    outcomes: list[Outcome] = []
    for batch in _batches(map(with_key, requests) if keyed else requests):
        one = _Batch(batch, until=clock() + patience.total_seconds(), server=server, clock=clock)
        try:
            outcomes += yield from one.published()
        except NoteFlowHooksError as error:
            if not outcomes:
                raise
            outcomes += [error] * len(batch)
    return outcomes


class _Batch:
    """The events of one call, and of those that repeat it."""

    def __init__(
        self,
        batch: Sequence[pb.PublishEventRequest],
        *,
        until: float,
        server: str,
        clock: Callable[[], float],
    ) -> None:
        self._batch = batch
        self._until = until
        self._server = server
        self._clock = clock

    def published(self) -> Generator[Step, Any, list[Outcome]]:
        """Publish them; what was not answered again, where it has a key, until patience ends."""
        outcomes: list[Outcome] = yield from self._once(self._batch)
        pause_s = _FIRST_PAUSE_S
        while again := [place for place, each in enumerate(outcomes) if _may_go_again(self._batch[place], each)]:
            if self._clock() + pause_s > self._until:
                break
            yield pause_s
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)
            found = yield from self._once([self._batch[each] for each in again])
            for place, outcome in zip(again, found, strict=True):
                outcomes[place] = outcome
        if all(isinstance(each, UnavailableError) for each in outcomes):
            raise outcomes[0]  # type: ignore[misc]  # an error, as was just asked
        return outcomes

    def _once(self, batch: Sequence[pb.PublishEventRequest]) -> Generator[Step, Any, list[Outcome]]:
        """Call once; again only while the token may not, since that stores nothing."""
        while True:
            answer = yield pb.PublishEventsRequest(requests=batch)
            if isinstance(answer, UnavailableError):
                return [answer] * len(batch)
            if not isinstance(answer, NoteFlowHooksError):
                return [self._outcome(each) for each in answer.results]
            wait_s = answer.retry_after.total_seconds() if isinstance(answer, RateLimitError) else None
            if wait_s is None or self._clock() + wait_s > self._until:
                raise answer
            yield wait_s

    def _outcome(self, result: pb.PublishEventResult) -> Outcome:
        return result.event if result.HasField("event") else of_status(result.status, self._server)


def _may_go_again(request: pb.PublishEventRequest, outcome: Outcome) -> bool:
    """Tell whether it may be tried again: it may be stored already, which only a key tells."""
    return isinstance(outcome, UnavailableError) and request.HasField("idempotency_key")


def _batches(requests: Iterable[pb.PublishEventRequest]) -> Iterator[list[pb.PublishEventRequest]]:
    batch: list[pb.PublishEventRequest] = []
    size = 0
    for request in requests:
        more = request.ByteSize() + _OVERHEAD
        if batch and (len(batch) == _EVENTS or size + more > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += more
    if batch:
        yield batch
