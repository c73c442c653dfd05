"""The publishing client: calls PublishEvent from a process of its own, so that nothing else holds it up.

Its argument is the server's ``HOST:PORT``. It reads a line of JSON, a list of streams (see :class:`Stream`), and
answers with one object for each: ``calls``, the events' ids with the moment before each call, and ``lags_ms``, how much
later than planned each call was made. Moments are by the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final, TypeAlias

import grpc

from noteflow_hooks.bench.lines import say, told
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

_Publish: TypeAlias = "grpc.UnaryUnaryMultiCallable[pb.PublishEventRequest, pb.Event]"

_TIMEOUT_S: Final = 30.0
_READY_S: Final = 5.0
#: Each stream has a connection of its own, as clients on several machines would have.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
_PAYLOAD: Final = {"title": "Weekly", "meeting_id": "6d5a9a1e-7b0e-4f0a-8d1f-3f1b6f9d8c11"}
_PAYLOADS: Final = {
    "meeting.completed": {**_PAYLOAD, "duration_seconds": 1800.0, "segment_count": 120, "has_summary": True},
    "recording.started": _PAYLOAD,
    "recording.stopped": {**_PAYLOAD, "duration_seconds": 1800.0},
}


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls that follow each other."""

    #: The tokens that make the calls, in turn.
    tokens: list[str]
    #: How many calls.
    count: int
    #: How many calls a second are made, whether or not earlier ones have returned. None: each waits for the one before.
    rate_per_s: float | None = None
    event_type: str = "meeting.completed"

    def run(self, server: str) -> dict[str, Any]:
        """Make the calls; raise gRPC's error if one fails."""
        with grpc.insecure_channel(server, options=_OPTIONS) as channel:
            grpc.channel_ready_future(channel).result(_READY_S)
            publish = pb_grpc.EventServiceStub(channel).PublishEvent
            return self._one_by_one(publish) if self.rate_per_s is None else self._by_schedule(publish, self.rate_per_s)

    def _one_by_one(self, publish: _Publish) -> dict[str, Any]:
        calls = []
        for token in islice(cycle(self.tokens), self.count):
            at = time.monotonic()
            calls.append((publish(self._request(), metadata=_metadata(token), timeout=_TIMEOUT_S).id, at))
        return {"calls": calls, "lags_ms": []}

    def _by_schedule(self, publish: _Publish, rate_per_s: float) -> dict[str, Any]:
        lags_ms, calls = [], []
        start = time.monotonic()
        for number, token in enumerate(islice(cycle(self.tokens), self.count)):
            due = start + number / rate_per_s
            time.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic()
            calls.append((publish.future(self._request(), metadata=_metadata(token), timeout=_TIMEOUT_S), at))
            lags_ms.append((at - due) * 1000)
        return {"calls": [(call.result().id, at) for call, at in calls], "lags_ms": lags_ms}

    def _request(self) -> pb.PublishEventRequest:
        return pb.PublishEventRequest(event_type=self.event_type, payload_json=json.dumps(_PAYLOADS[self.event_type]))


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _answer(server: str, line: str) -> object:
    streams = [Stream(**given) for given in json.loads(line)]
    with ThreadPoolExecutor(len(streams)) as threads:
        running = [threads.submit(stream.run, server) for stream in streams]
    try:
        return [each.result() for each in running]
    except grpc.RpcError as error:
        return {"error": f"PublishEvent failed: {error.code().name} {error.details()}"}
    except grpc.FutureTimeoutError:
        return {"error": f"no server answers at {server}"}


def main() -> None:
    """Answer each line until the standard input ends."""
    say("ready")
    for line in told():
        say(_answer(sys.argv[1], line))


if __name__ == "__main__":
    main()
