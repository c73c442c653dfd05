"""Processes of the benchmark that are spoken to by lines: the receiver, the bare loops, the publishing client.

They end with their standard input, so also when whoever started them is killed.
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

#: How often a wait for an answer looks up.
_LOOK_S: Final = 0.1
#: How long an answer may take; the longest one measures for some ten seconds.
_PATIENCE_S: Final = 180.0


def _nothing() -> None:
    """Let a wait go on."""


class LineProcess:
    """A Python module that runs as a process, is told lines, and answers each with a line of JSON.

    Args:
        module: The module's whole name.
        arguments: Its arguments.
        check: Called again and again during waits; raises to break them off.
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
        """Say a line, without waiting for the answer."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def heard(self) -> Any:  # noqa: ANN401 - whatever JSON has
        """Wait for the next answer; raise NoteFlowHooksError where none comes, or where it tells of an error."""
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
        """Say a line and return the answer."""
        self.tell(line)
        return self.heard()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # A line that it did not take is still in there.
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
