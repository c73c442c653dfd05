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
from functools import partial
from itertools import cycle, islice
from typing import Any, Final

from noteflow_hooks.bench.http2 import Connection, head
from noteflow_hooks.bench.lines import answer_each
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_METHOD: Final = "/noteflow.v1.EventService/PublishEvent"
_TAIL_S: Final = 0.1
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
        """Make the calls; raise NoteFlowHooksError if one fails."""
        heads = [head(_METHOD, token=token) for token in self.tokens]
        # Each stream has a connection of its own, as clients on several machines would have.
        with Connection(server) as connection:
            if self.rate_per_s is None:
                return self._one_by_one(connection, heads)
            return self._by_schedule(connection, heads, self.rate_per_s)

    def _one_by_one(self, connection: Connection, heads: list[bytes]) -> dict[str, Any]:
        message, calls = self._message(), []
        for each in islice(cycle(heads), self.count):
            at = time.monotonic()
            calls.append((_event_id(connection, connection.start(each, message)), at))
        return {"calls": calls, "lags_ms": []}

    def _by_schedule(self, connection: Connection, heads: list[bytes], rate_per_s: float) -> dict[str, Any]:
        message, lags_ms, calls = self._message(), [], []
        start = time.monotonic()
        for number, each in enumerate(islice(cycle(heads), self.count)):
            due = start + number / rate_per_s
            time.sleep(max(0.0, due - time.monotonic()))
            at = time.monotonic()
            calls.append((connection.start(each, message), at))
            lags_ms.append((at - due) * 1000)
        # What the client does with the answers is not done beside the last calls' deliveries.
        time.sleep(_TAIL_S)
        return {"calls": [(_event_id(connection, call), at) for call, at in calls], "lags_ms": lags_ms}

    def _message(self) -> bytes:
        payload = json.dumps(_PAYLOADS[self.event_type])
        return pb.PublishEventRequest(event_type=self.event_type, payload_json=payload).SerializeToString()


def _event_id(connection: Connection, call: int) -> str:
    return pb.Event.FromString(connection.answer(call)).id


def _answer(server: str, line: str) -> object:
    streams = [Stream(**given) for given in json.loads(line)]
    with ThreadPoolExecutor(len(streams)) as threads:
        running = [threads.submit(stream.run, server) for stream in streams]
    try:
        return [each.result() for each in running]
    except NoteFlowHooksError as error:
        return {"error": f"PublishEvent: {error}"}


def main() -> None:
    """Answer each line until the standard input ends."""
    answer_each(partial(_answer, sys.argv[1]))


if __name__ == "__main__":
    main()
