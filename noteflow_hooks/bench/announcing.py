"""A NoteFlow server's share of publishing: one process, one connection, by the client or by the bare stubs below it.

Its argument is the server's ``HOST:PORT``. It reads a line of JSON, the fields of :class:`Task`, and answers with
``took_s``, and ``cpu_s``, what this process spent of the processor. Either way it makes each event's JSON, has a
deadline, and carries the token.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.bench.lines import answer_each
from noteflow_hooks.client import connect, connect_async
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_TYPE: Final = "meeting.completed"
_TIMEOUT_S: Final = 15.0
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


@dataclass(frozen=True, slots=True)
class Task:
    """Events to be published."""

    token: str
    #: How many, and how many calls are under way at once.
    events: int
    callers: int
    #: Whether by the client, else by the bare stubs.
    by_client: bool
    #: Whether in an event loop, else in threads.
    is_async: bool

    def run(self, server: str) -> dict[str, float]:
        """Publish, and return what it took; the connection is made before."""
        return asyncio.run(self._in_loop(server)) if self.is_async else self._in_threads(server)

    def _in_threads(self, server: str) -> dict[str, float]:
        with (
            connect(server, self.token) as client,
            grpc.insecure_channel(server, options=_OPTIONS) as channel,
            ThreadPoolExecutor(self.callers) as threads,
        ):
            stub = pb_grpc.EventServiceStub(channel)
            publish = self._by_client(client) if self.by_client else self._by_stub(stub)
            publish(0)
            began = _now()
            list(threads.map(publish, range(self.events)))
            return _since(began)

    async def _in_loop(self, server: str) -> dict[str, float]:
        async with (
            connect_async(server, self.token) as client,
            grpc.aio.insecure_channel(server, options=_OPTIONS) as channel,
        ):
            stub = pb_grpc.EventServiceStub(channel)
            publish = self._by_client(client) if self.by_client else self._by_stub(stub)
            await publish(0)
            numbers, began = iter(range(self.events)), _now()
            await asyncio.gather(*(_calls(publish, numbers) for _ in range(self.callers)))
            return _since(began)

    def _by_client(self, client: Any) -> Callable[[int], Any]:  # noqa: ANN401 - either client
        return lambda number: client.publish(_TYPE, _payload(number))

    def _by_stub(self, stub: Any) -> Callable[[int], Any]:  # noqa: ANN401 - either stub
        metadata = (("authorization", f"Bearer {self.token}"),)
        return lambda number: stub.PublishEvent(_request(number), timeout=_TIMEOUT_S, metadata=metadata)


async def _calls(publish: Callable[[int], Awaitable[object]], numbers: Iterator[int]) -> None:
    """Make the next call that nobody makes, until none is left."""
    for number in numbers:
        await publish(number)


def _payload(number: int) -> dict[str, object]:
    meeting = {"meeting_id": f"m-{time.time_ns()}-{number}", "title": "Weekly", "duration_seconds": 1800.0}
    return {**meeting, "segment_count": 120, "has_summary": True}


def _request(number: int) -> pb.PublishEventRequest:
    return pb.PublishEventRequest(event_type=_TYPE, payload_json=json.dumps(_payload(number)))


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _since(began: tuple[float, float]) -> dict[str, float]:
    at, used = _now()
    return {"took_s": at - began[0], "cpu_s": used - began[1]}


def _answer(server: str, line: str) -> object:
    try:
        return Task(**json.loads(line)).run(server)
    except NoteFlowHooksError as error:
        return {"error": f"PublishEvent: {error}"}
    except grpc.RpcError as error:
        return {"error": f"PublishEvent: {error.code().name} {error.details()}"}


def main() -> None:
    """Answer each line until the standard input ends."""
    answer_each(partial(_answer, sys.argv[1]))


if __name__ == "__main__":
    main()
