"""The light client: ``h2load`` of nghttp2, in C, which posts one prepared gRPC message again and again.

It reads no trailers, in which gRPC's errors are: whoever uses it counts what was stored and received.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.scenario import SkippedError
from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.stage import Stage

_PROGRAM: Final = "h2load"
#: Connections, and calls at once over each, by the number of callers.
_SHAPES: Final = {1: (1, 1), 16: (4, 4), 64: (16, 4)}
#: As many processes share the connections, since one has a single token.
PROCESSES: Final = 4


def needs_it() -> None:
    """Raise SkippedError where there is no h2load."""
    if shutil.which(_PROGRAM) is None:
        raise SkippedError(f"{_PROGRAM} is missing (Debian has it in nghttp2-client)")


def call(stage: Stage, method: str, *, message: bytes, tokens: Sequence[str], calls: int, callers: int) -> float:
    """Make so many calls, by as many tokens as there are processes; return the moment before the first one.

    The moment is by the monotonic clock, in seconds. The starts of the processes, a few milliseconds, count as calling.
    """
    connections, streams = _SHAPES[callers]
    processes = min(PROCESSES, connections, calls)
    body = stage.file("h2load-message", bytes(1) + len(message).to_bytes(4, "big") + message)
    shares = [calls // processes + (number < calls % processes) for number in range(processes)]
    began = time.monotonic()
    running = [
        _started(
            [f"-n{share}", f"-c{min(share, connections // processes)}", f"-m{streams}", f"-d{body}"],
            token=token,
            url=f"http://{stage.system.grpc}{method}",
        )
        for share, token in zip(shares, tokens, strict=False)
    ]
    _await(stage, running)
    return began


def _started(options: Sequence[str], *, token: str, url: str) -> subprocess.Popen[str]:
    headers = ("te: trailers", "content-type: application/grpc", f"authorization: Bearer {token}")
    told = [part for header in headers for part in ("-H", header)]
    return subprocess.Popen(
        [_PROGRAM, *options, *told, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A terminal's Ctrl-C must not end it before those who wait for it.
        start_new_session=True,
    )


def _await(stage: Stage, running: Sequence[subprocess.Popen[str]]) -> None:
    """Wait until all have ended; none outlives this."""
    try:
        stage.wait(lambda: all(each.poll() is not None for each in running), what=f"{_PROGRAM} ends")
    finally:
        for each in running:
            each.kill()
            _, problem = each.communicate()
            if each.returncode > 0:
                raise NoteFlowHooksError(f"{_PROGRAM}: {problem.strip()}")
