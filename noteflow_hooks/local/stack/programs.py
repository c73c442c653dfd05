"""The programs of the system: each is a process of its own, in a session of its own, with a log of its own."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from noteflow_hooks.local.children import launcher
from noteflow_hooks.local.children.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from noteflow_hooks.local.servers import EmbeddedServerError

#: A worker's pool. Its tasks and POSTs wait for sockets. Threads make as many deliveries; an idle system's events come
#: a little sooner under gevent (docs/performance.md).
WORKER_POOL: Final = ("-P", "gevent", "-c", "16")
#: Workers need no news of each other, and gathering them takes a second at the start.
_ALONE: Final = ("--without-gossip", "--without-mingle")
_CELERY: Final = (sys.executable, "-m", "celery", "-A", "workers.app")
#: How long a program may take to finish what it does: a gevent worker without any looks every few seconds whether it is
#: to end. `up` must be gone within ten seconds, databases included.
PATIENCE_S: Final = 6.0

SERVER: Final = (sys.executable, "-m", "noteflow_hooks.cli", "serve")
#: Without its banner, which is no record.
BEAT: Final = (*_CELERY, "--quiet", "beat", "-l", "INFO")
#: By these a command line is recognised as one of ours.
MARKS: Final = ("noteflow_hooks.cli", "workers.app")


def worker_command(number: int, *, pool: Sequence[str] = WORKER_POOL) -> Sequence[str]:
    """Return the command of the worker of that number; it names one pool, since Celery patches for the first named."""
    return (*_CELERY, "worker", *pool, *_ALONE, "-l", "INFO", "-n", f"worker-{number}@%h")


class Program:
    """One of our programs. It works in ``folder``, where the system finds it again after a crash of its owner."""

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], folder: Path, log_path: Path
    ) -> None:
        #: What it is called in `up.json` and in messages.
        self.name = name
        self._command = command
        self._env = env
        self._folder = folder
        self._process = ServerProcess(name, log_path=log_path)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid

    def start(self) -> None:
        """Start it; only from the main thread, see the launcher."""
        self._process.spawn(_tied(self._command), env=self._env, cwd=self._folder)

    def stop(self, *, patience_s: float) -> None:
        """Let it finish what it does for so long at the most."""
        self._process.stop([(signal.SIGTERM, patience_s)])

    def error(self, problem: str) -> EmbeddedServerError:
        """Return an error that ends with the end of its log."""
        return self._process.error(problem)

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        code = self._process.exit_code
        if code is not None and code < 0:
            return f"was ended by signal {-code}"
        return f"ended with status {code}"


def _tied(command: Sequence[str]) -> Sequence[str]:
    if sys.platform != "linux":
        return command
    return (sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command)
