"""Programs beside a rig's own: workers under another pool or with other settings, more beats, and a Redis far away."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import psutil

from noteflow_hooks.bench.processes import LineProcess
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import PATIENCE_S, Program
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.support.system_rig import SystemRig

#: A way so long that nothing which sets out now arrives while a test runs.
_NEVER_MS: Final = 7_200_000


@contextmanager
def started(rig: SystemRig, name: str, command: Sequence[str], **settings: Any) -> Iterator[Program]:  # noqa: ANN401 - settings of any type
    """Run the command with the rig's settings, but for these, for as long as the block runs."""
    program = Program(
        name,
        command,
        env=variables({**rig.settings, "data_dir": rig.folder, **settings}),
        folder=rig.folder / "run",
        log_path=log_of(rig, name),
    )
    program.start()
    try:
        yield program
    finally:
        program.stop(patience_s=PATIENCE_S)


def log_of(rig: SystemRig, name: str) -> Path:
    """Return where the log of a program is, of the rig's own or beside it."""
    return rig.folder / "logs" / f"{name}.log"


def kill(program: Program) -> None:
    """End a program without a word of warning."""
    if program.pid is not None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(program.pid).kill()
    until(lambda: program.pid is None, what=f"{program.name} ends")


class DelayedRedis:
    """The rig's Redis at a distance that changes; use it as a context manager. At first it is none."""

    def __init__(self, rig: SystemRig) -> None:
        self._broker = urlsplit(rig.system.redis_url)

    def __enter__(self) -> Self:
        self._between = LineProcess("noteflow_hooks.bench.delays", str(self._broker.port))
        [port] = self._between.greeting
        #: What programs are told that are to be so far from it.
        self.url = self._broker._replace(netloc=f":{self._broker.password}@{self._broker.hostname}:{port}").geturl()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._between.close()

    def add_ms(self, longer_ms: int) -> None:
        """Have each round trip take so much longer from now on."""
        self._between.ask(str(longer_ms))

    def swallow(self) -> None:
        """Let nothing through any more, either way, over connections that stay."""
        self.add_ms(_NEVER_MS)
