"""A real `celery` process of the workers' app: a worker, a beat, Flower, or a question to workers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from noteflow_hooks.local.stack.environment import variables
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: What workers, a beat and Flower log once they work.
READY: Final = {"worker": b" ready.", "beat": b"beat: Starting...", "flower": b"Connected to"}
_ALONE: Final = ("--without-gossip", "--without-mingle", "-l", "INFO")


class CeleryProgram:
    """A program that runs; its log is a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> bytes:
        """What it has printed so far."""
        return self._log.read_bytes()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


def worker_options(pool: str, slots: int) -> tuple[str, ...]:
    """Return the options of a worker under that pool; it asks for no news of others."""
    return ("-P", pool, "-c", str(slots), *_ALONE)


def command(kind: str, *options: str, start: tuple[str, ...] = ("-m", "celery")) -> list[str]:
    """Return the command line of a program of that kind."""
    return [sys.executable, *start, "-A", "workers.app", "--quiet", kind, *options]


@contextmanager
def celery_program(
    folder: Path,
    kind: str,
    *options: str,
    settings: Mapping[str, object],
    start: tuple[str, ...] = ("-m", "celery"),
    extra: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[CeleryProgram]:
    """Run one, in a process group of its own, for as long as the block runs; ``extra`` are further variables."""
    log = folder / f"{kind}.log"
    environment = variables(settings) | (dict(extra) if extra is not None else {})
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(kind, *options, start=start),
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        program = CeleryProgram(process, log)
        try:
            if wait:
                until(lambda: READY[kind] in program.log or not program.is_alive, what=f"the {kind} is ready")
            yield program
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
