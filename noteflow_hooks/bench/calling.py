"""The calling client: makes prepared calls from many threads, each over a connection of its own, and reads no answer.

Its argument is the server's ``HOST:PORT``. It reads a line of JSON, the fields of :class:`Task`, and answers with the
moment before the first call, by the monotonic clock, which all processes of a machine share, in seconds.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import grpc

from noteflow_hooks.bench.lines import answer_each

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S: Final = 30.0
_READY_S: Final = 10.0
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


@dataclass(frozen=True, slots=True)
class Task:
    """Calls of one method."""

    #: As HTTP/2 names it: ``/noteflow.v1.EventService/PublishEvent``.
    method: str
    #: The requests as hexadecimal digits, one for each call, or a single one for all of them.
    messages: list[str]
    #: The tokens that make the calls, in turn.
    tokens: list[str]
    calls: int
    #: How many threads call; each waits for one call before the next.
    callers: int

    def run(self, server: str) -> float:
        """Make the calls and return when the first one was made; raise gRPC's error if one fails."""
        messages = [bytes.fromhex(each) for each in self.messages]
        with ExitStack() as stack:
            channels = [
                stack.enter_context(grpc.insecure_channel(server, options=_OPTIONS)) for _ in range(self.callers)
            ]
            for ready in [grpc.channel_ready_future(channel) for channel in channels]:
                ready.result(_READY_S)
            threads = stack.enter_context(ThreadPoolExecutor(self.callers))
            numbers = count()
            began = time.monotonic()
            for each in [threads.submit(self._call, channel, messages, numbers) for channel in channels]:
                each.result()
        return began

    def _call(self, channel: grpc.Channel, messages: list[bytes], numbers: Iterator[int]) -> None:
        """Make the next call that nobody makes, until none is left."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self.method)
        headers = [(("authorization", f"Bearer {token}"),) for token in self.tokens]
        while (number := next(numbers)) < self.calls:
            call(messages[number % len(messages)], metadata=headers[number % len(headers)], timeout=_TIMEOUT_S)


def _answer(server: str, line: str) -> object:
    task = Task(**json.loads(line))
    try:
        return task.run(server)
    except grpc.RpcError as error:
        return {"error": f"{task.method} failed: {error.code().name} {error.details()}"}
    except grpc.FutureTimeoutError:
        return {"error": f"no server answers at {server}"}


def main() -> None:
    """Answer each line until the standard input ends."""
    answer_each(partial(_answer, sys.argv[1]))


if __name__ == "__main__":
    main()
