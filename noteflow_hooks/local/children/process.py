"""One embedded server's process: how it is started, waited for, stopped, and found when its owner was killed.

A folder belongs to the process that holds its lock. Whoever gets the lock may end what still runs on that folder, since
its owner is dead; whoever doesn't get it must touch nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

import psutil

from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 15


class EmbeddedServerError(NoteFlowHooksError):
    """An embedded server can't be started or did not start."""


class FolderLock:
    """Marks a data folder as this process's own; the system frees the lock however the process dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the folder; raise `EmbeddedServerError` while another process, or another object, has it."""
        if self._fd is not None:
            return
        fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise EmbeddedServerError(
                f"{self._folder} is in use by another run: stop that one, or name another folder"
            ) from None
        self._fd = fd

    def release(self) -> None:
        """Give up the folder."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class ServerProcess:
    """A server in a session of its own, so that a terminal's Ctrl-C doesn't end it before the programs that use it."""

    def __init__(self, name: str, *, log_path: Path) -> None:
        self._name = name
        self._log_path = log_path
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The running server's process id."""
        return self._process.pid if self._process is not None and self.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """How the server ended; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def spawn(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> None:
        """Start the command, with all its output appended to the log."""
        with self._log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> bool:
        """Poll until the server is ready; return False if it has ended, raise if neither happens in time."""
        for _ in _ticks(timeout_s):
            if self.exit_code is not None:
                return False
            if ready():
                return True
        raise self.error(f"was not done within {timeout_s:g} s")

    def wait(self, *, timeout_s: float) -> int:
        """Return the exit status once the process has ended by itself; raise if it does not in time."""
        self.wait_until(lambda: False, timeout_s=timeout_s)
        return self._process.wait() if self._process is not None else 0

    def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn and wait so many seconds for the server to end; at last, kill it."""
        # Read once: when a start fails, its thread may stop the server while another one does so too.
        process = self._process
        if process is None:
            return
        for number, patience_s in signals:
            if process.poll() is not None:
                break
            process.send_signal(number)
            # A stopped (SIGSTOP) server handles its signals only once it goes on.
            process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
        process.kill()
        process.wait()
        self._process = None

    def error(self, problem: str) -> EmbeddedServerError:
        """Return an error that ends with the last lines of the server's log."""
        lines = self.log().splitlines()[-_LOG_TAIL_LINES:]
        return EmbeddedServerError("\n  ".join([f"{self._name} {problem}; {self._log_path} ends:", *lines]))

    def log(self) -> str:
        """Return what the server has logged since its last start."""
        with self._log_path.open("rb") as log:
            # One that was emptied meanwhile has what came after that.
            log.seek(self._log_start if self._log_start <= os.fstat(log.fileno()).st_size else 0)
            return log.read().decode(errors="replace").strip()


def end_leftovers(program: str, folder: Path, *, main_pid: int | None = None) -> None:
    """End what still runs `program` in `folder`, for instance after a `kill -9` of the process that started it.

    A process is found by its name and working folder, never by a pid in a file, which may by now be another process's.
    `main_pid` is asked first, so that it can end its children in good order.
    """
    leftovers = list(_running(program, folder))
    for process in [p for p in leftovers if p.pid == main_pid] or leftovers:
        _send(process, signal.SIGINT, signal.SIGCONT)
    _, alive = psutil.wait_procs(leftovers, timeout=5)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    if any(_running(program, folder)):
        raise EmbeddedServerError(f"a {program} of an earlier run still works in {folder} and can't be ended")


def _running(program: str, folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        # It has ended meanwhile, or is another user's: neither is a server of ours.
        with contextlib.suppress(psutil.Error):
            if process.name() == program and process.cwd() == str(folder):
                yield process


def _send(process: psutil.Process, *signals: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for number in signals:
            process.send_signal(number)


def _ticks(timeout_s: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(_POLL_S)
