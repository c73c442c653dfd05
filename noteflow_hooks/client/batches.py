"""Many events in as many calls as they need: in order, each with its outcome; only what may be repeated is."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from noteflow_hooks.client.answers import of_status
from noteflow_hooks.errors import NoteFlowHooksError, RateLimitError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta

#: The stored event, or why it is not stored.
Outcome: TypeAlias = "pb.Event | NoteFlowHooksError"

#: What one call takes: so many events, and less than the 4 MiB of a message.
_EVENTS: Final = 500
_BYTES: Final = 3_500_000
#: What an event takes up in a message beside itself.
_OVERHEAD: Final = 8
#: How long to wait before the first repetition; before each later one twice as long, up to the last.
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 5.0


class Batches:
    """Publishes events in batches."""

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
        outcomes: list[Outcome] = []
        for batch in _batches(_with_keys(requests) if keyed else requests):
            try:
                outcomes += self._published(batch, until=self._clock() + patience.total_seconds())
            except NoteFlowHooksError as error:
                if not outcomes:
                    raise
                outcomes += [error] * len(batch)
        return outcomes

    def _published(self, batch: Sequence[pb.PublishEventRequest], *, until: float) -> list[Outcome]:
        outcomes: list[Outcome] = self._once(batch, until=until)
        pause_s = _FIRST_PAUSE_S
        while again := [place for place, each in enumerate(outcomes) if _may_go_again(batch[place], each)]:
            if self._clock() + pause_s > until:
                break
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)
            for place, outcome in zip(again, self._once([batch[each] for each in again], until=until), strict=True):
                outcomes[place] = outcome
        if all(isinstance(each, UnavailableError) for each in outcomes):
            raise outcomes[0]  # type: ignore[misc]  # an error, as was just asked
        return outcomes

    def _once(self, batch: Sequence[pb.PublishEventRequest], *, until: float) -> list[Outcome]:
        """Call once; again only while the token may not, since that stores nothing."""
        while True:
            try:
                answer = self._call(pb.PublishEventsRequest(requests=batch))
            except RateLimitError as error:
                wait_s = error.retry_after.total_seconds()
                if self._clock() + wait_s > until:
                    raise
                self._sleep(wait_s)
            except UnavailableError as error:
                return [error] * len(batch)
            else:
                return [self._outcome(each) for each in answer.results]

    def _outcome(self, result: pb.PublishEventResult) -> Outcome:
        return result.event if result.HasField("event") else of_status(result.status, self._server)


def _may_go_again(request: pb.PublishEventRequest, outcome: Outcome) -> bool:
    """Tell whether it may be tried again: it may be stored already, which only a key tells."""
    return isinstance(outcome, UnavailableError) and request.HasField("idempotency_key")


def _with_keys(requests: Iterable[pb.PublishEventRequest]) -> Iterator[pb.PublishEventRequest]:
    for request in requests:
        if request.HasField("idempotency_key"):
            yield request
        else:
            made: Any = pb.PublishEventRequest()
            made.CopyFrom(request)
            made.idempotency_key = str(uuid.uuid4())
            yield made


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
