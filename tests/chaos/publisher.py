"""The load: threads that publish events when they are due, and try each again under its key until it is accepted."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc
from tests.chaos.endpoints import meeting_of, title_of
from tests.chaos.ledgers import Accepted, Book
from tests.support.builders import a_payload

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

_THREADS: Final = 8
_TIMEOUT_S: Final = 3.0
_AGAIN_S: Final = 0.1
#: What a server that dies, or whose database is away, may say. Anything else is no answer to a sound request.
_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
#: A connection for each thread, as clients on several machines would have, and dialled again soon after a restart.
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Publisher:
    """Publishes from when its ``with`` block begins; leaving that ends it, whatever is left to publish.

    Args:
        server: The gRPC server's ``host:port``.
        token: Whose workspace the events are for.
        moments: When each event is due, in seconds from the begin.
        rate_per_s: No more calls begin in a second than this, also when time is to be made up for.
        ledger: Where each acceptance is written.
    """

    def __init__(self, server: str, token: str, *, moments: Iterable[float], rate_per_s: float, ledger: Path) -> None:
        self._server = server
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._due = enumerate(moments)
        self._spacing_s = 1 / rate_per_s
        self._book = Book(ledger)
        self._lock = threading.Lock()
        self._next = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"publisher {n}") for n in range(_THREADS)]
        #: How many events were accepted so far.
        self.count = 0
        #: What the server said to a call that it should have accepted, or not have answered.
        self.refusals: list[str] = []

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._book.close()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to publish."""
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        with grpc.insecure_channel(self._server, options=_OPTIONS) as channel:
            stub = pb_grpc.EventServiceStub(channel)
            while (taken := self._take()) is not None:
                number, starts_at = taken
                if self._ended.wait(max(0.0, starts_at - time.monotonic())):
                    return
                self._publish(stub, number)

    def _take(self) -> tuple[int, float] | None:
        """Return the next event's number and when to publish it; what an outage held up is made up for at the rate."""
        with self._lock:
            number, due = next(self._due, (-1, 0.0))
            self._next = max(self.began + due, self._next + self._spacing_s, time.monotonic())
            return (number, self._next) if number >= 0 else None

    def _publish(self, stub: pb_grpc.EventServiceStub, number: int) -> None:
        key, meeting_id = f"event-{number}", meeting_of(number)
        payload = json.dumps(a_payload(meeting_id=meeting_id, title=title_of(number)))
        request = pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload, idempotency_key=key)
        tries = 0
        while not self._ended.is_set():
            tries += 1
            try:
                event = stub.PublishEvent(request, metadata=self._metadata, timeout=_TIMEOUT_S)
            except grpc.RpcError as error:
                if error.code() not in _AWAY:
                    self.refusals.append(f"{key}: {error.code().name} {error.details()}")
                    return
                self._ended.wait(_AGAIN_S)
            else:
                at = time.monotonic()
                self._book.write(Accepted(key, event.id, at, tries, number, meeting_id, event.sequence))
                with self._lock:
                    self.count += 1
                return
