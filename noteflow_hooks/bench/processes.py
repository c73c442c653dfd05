"""The benchmark's processes that take lines and answer them: the receiver, the bare loops, the publishing client.

They end when their standard input ends, and so also when the process that started them is killed.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: How often ``check`` is called during a wait for an answer.
_LOOK_S: Final = 0.1
#: How long an answer may take; the longest measurement takes some ten seconds.
_PATIENCE_S: Final = 180.0


def _nothing() -> None:
    """Do nothing, so that a wait goes on."""


class LineProcess:
    """A Python module that runs as a process, reads lines, and answers each with a line of JSON.

    Args:
        module: The module's whole name.
        arguments: Its arguments.
        check: Called again and again during waits; it raises to break them off.
    """

    def __init__(self, module: str, *arguments: str, check: Callable[[], None] = _nothing) -> None:
        """Start it and wait for its first line, which is kept as ``greeting``."""
        self._name = module.rpartition(".")[2]
        self._check = check
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A terminal's Ctrl-C must not end it before those who still speak to it.
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            self.greeting = self.heard()
        except BaseException:
            self.close()
            raise

    def tell(self, line: str) -> None:
        """Send a line, without waiting for the answer."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def heard(self) -> Any:  # noqa: ANN401 - whatever JSON has
        """Wait for the next answer; raise NoteFlowHooksError if none comes, or if it reports an error."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        ends_at = time.monotonic() + _PATIENCE_S
        while not select.select([self._process.stdout], [], [], _LOOK_S)[0]:
            self._check()
            if time.monotonic() > ends_at:
                raise NoteFlowHooksError(f"the benchmark's {self._name} has not answered for {_PATIENCE_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return self._checked(json.loads(line))

    def ask(self, line: str) -> Any:  # noqa: ANN401 - whatever JSON has
        """Send a line and return the answer."""
        self.tell(line)
        return self.heard()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # Closing flushes a line that the process did not read.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ended(self) -> NoteFlowHooksError:
        return NoteFlowHooksError(f"the benchmark's {self._name} has ended")

    def _checked(self, answer: Any) -> Any:  # noqa: ANN401 - whatever JSON has
        if isinstance(answer, dict) and "error" in answer:
            raise NoteFlowHooksError(f"the benchmark's {self._name}: {answer['error']}")
        return answer
