"""The programs of the system. Each is a process with its own session and its own log."""

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

#: A worker's pool. Its tasks and POSTs wait for sockets. Threads make as many deliveries a second, but on an idle
#: system events arrive a little sooner under gevent (docs/performance.md).
WORKER_POOL: Final = ("-P", "gevent", "-c", "16")
#: Workers need not know of each other, and finding each other takes a second at the start.
_ALONE: Final = ("--without-gossip", "--without-mingle")
#: Not ``celery`` itself, which brings a web server and a shell into each process.
_CELERY: Final = (sys.executable, "-m", "workers", "-A", "workers.app")
#: How long a program may take to finish: even an idle gevent worker looks only every few seconds whether it is to end.
#: `up` must end within ten seconds, databases included.
PATIENCE_S: Final = 6.0

SERVER: Final = (sys.executable, "-m", "noteflow_hooks.cli", "serve")
#: A client of the server: it is given the server's address and its own settings, and none of the others.
DASHBOARD: Final = (sys.executable, "-m", "noteflow_hooks.cli", "dashboard")
#: Without its banner, which is no log record.
BEAT: Final = (*_CELERY, "--quiet", "beat", "-l", "INFO")
#: A command line with one of these is ours.
MARKS: Final = ("noteflow_hooks.cli", "workers.app")


def worker_command(number: int, *, pool: Sequence[str] = WORKER_POOL) -> Sequence[str]:
    """Return the command of that worker. It must name only one pool: Celery patches for the first that it finds."""
    return (*_CELERY, "worker", *pool, *_ALONE, "-l", "INFO", "-n", f"worker-{number}@%h")


class Program:
    """One of our programs. It runs in ``folder``, by which it is found after a crash of its owner."""

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
        """Start it. Call this from the main thread only: see the launcher."""
        self._process.spawn(_tied(self._command), env=self._env, cwd=self._folder)

    def stop(self, *, patience_s: float) -> None:
        """End it, with at most so much time to finish what it does."""
        self._process.stop([(signal.SIGTERM, patience_s)])

    def error(self, problem: str) -> EmbeddedServerError:
        """Return an error with the last lines of its log."""
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
