"""A publisher that goes on whatever happens: each event under a key of its own, tried again until it is accepted."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import a_payload
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.receiver import Receiver
    from tests.support.system_rig import SystemRig
    from tests.support.wire_client import WireClient

#: How long one try may take, and the pause before the next one.
_TRY_S: Final = 2.0
_PAUSE_S: Final = 0.05


class SteadyPublisher:
    """Publishes ``meeting.completed`` at a steady pace, in a thread of its own, while :meth:`running`."""

    def __init__(self, clients: Sequence[WireClient], *, per_s: float) -> None:
        """A try that fails goes to the next of the clients: each may lead to another server."""
        self._clients = list(clients)
        self._pause_s = 1 / per_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        #: The ids of accepted events, in their order.
        self.accepted: list[str] = []
        #: How many tries failed.
        self.failed = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[SteadyPublisher]:
        """Publish until the block ends, and then until the last event is accepted."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join()

    def wait_for(self, more: int) -> None:
        """Return once that many more events are accepted than are now."""
        wanted = len(self.accepted) + more
        until(lambda: len(self.accepted) >= wanted, what=f"{more} more events are accepted")

    def _run(self) -> None:
        while not self._ended.wait(self._pause_s):
            self.accepted.append(self._publish(publish_request()))

    def _publish(self, request: pb.PublishEventRequest) -> str:
        while True:
            try:
                return self._clients[0].events.PublishEvent(request, timeout=_TRY_S).id
            except grpc.RpcError:
                self.failed += 1
                self._clients.append(self._clients.pop(0))
                threading.Event().wait(_PAUSE_S)


def publish_request(key: str | None = None, **overrides: object) -> pb.PublishEventRequest:
    """Make a request under an idempotency key; overrides are the payload's fields."""
    return pb.PublishEventRequest(
        event_type="meeting.completed",
        payload_json=json.dumps(a_payload(**overrides)),
        idempotency_key=key if key is not None else uuid4().hex,
    )


def steady_publisher(rig: SystemRig, *, per_s: float = 50) -> SteadyPublisher:
    """Make one that publishes through the rig's server, for its present tenant."""
    return SteadyPublisher([rig.client], per_s=per_s)


def posts(receiver: Receiver, path: str) -> Counter[str]:
    """Return how many requests came to a path, by their ``webhook-id``."""
    return Counter(str(each.header("webhook-id")) for each in receiver.requests if each.path == path)
