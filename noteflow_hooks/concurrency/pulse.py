"""A process's signs of life, in a file that a probe on the same machine reads without PostgreSQL, Redis or the process.

The process's own loop writes them, so that one that is frozen, or stuck, lets them grow old. They are moments of the
monotonic clock, which all processes of a machine share. What forked children note is memory that they share with the
process, and reaches the file with its next turn; a disk that is full stops nobody.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import mmap
import os
import stat
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from noteflow_hooks.concurrency.supervisor import Supervisor
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

#: How often a loop writes its signs, at the most.
TURN_S: Final = 1.0
#: What each place of :attr:`Pulse.marks` says: when the loop has turned, when a message or none was fetched, when work
#: was last done to its end, when it last failed, and when nothing was left to be done.
_COUNT: Final = 5
TURNED, FETCHED, DONE, FAILED, IDLE = range(_COUNT)
_MARKS: Final = struct.Struct(f"{_COUNT}d")
_WHOLE: Final = 4096
#: Files of processes that were killed go after so long.
_KEPT_S: Final = 86_400.0


class Pulse:
    """The signs of this process. Made before it forks; :meth:`show` is its loop's alone."""

    def __init__(self) -> None:
        """Nobody can read them before :meth:`open`."""
        #: The moments; a child process may write them too, with one assignment.
        self.marks: memoryview[Any] = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
        self.marks[IDLE] = time.monotonic()
        self._about: Mapping[str, object] = {}
        self._path: Path | None = None
        self._fd: int | None = None
        self._supervisor = Supervisor()

    def open(self, folder: Path, kind: str, name: str = "") -> None:
        """Have them read in that folder; where nothing can be written there, log so."""
        self._about = {"kind": kind, "name": name, "pid": os.getpid()}
        self._path = folder / file_name(kind, name)
        try:
            _own_folder(folder)
            self._create(self._path)
        except OSError as error:
            log.warning("no probe can read whether this process is alive: %s (%s)", self._path, error.strerror)
        self._supervisor.tell("READY=1")
        self.show()

    def show(self) -> None:
        """Note that the loop has turned. Call it often: it writes once a second, and never waits or raises."""
        now = time.monotonic()
        if now - self.marks[TURNED] >= TURN_S:
            self.marks[TURNED] = now
            self._write()
            self._supervisor.tell("WATCHDOG=1")

    def tell(self, **about: object) -> None:
        """Note what does not change often, such as the queues."""
        if any(self._about.get(name) != value for name, value in about.items()):
            self._about = {**self._about, **about}
            self._write(whole=True)

    def begin_task(self) -> None:
        """Note that the loop itself does a task now, and turns again when that has ended."""
        self.show()
        self.tell(task_since=time.monotonic())

    def end_task(self) -> None:
        """Note that the task has ended, which is a turn."""
        self.show()
        self.tell(task_since=None)

    def close(self) -> None:
        """Remove the file, in the process that made it: it ends."""
        self._supervisor.close()
        if self._fd is not None and self._about.get("pid") == os.getpid():
            os.close(self._fd)
            self._fd = None
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _create(self, path: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as made:
            self._fd = os.dup(made.fileno())
        self._write(whole=True)
        # In one step: a probe finds the file of the process that is gone, or this one.
        Path(made.name).replace(path)

    def _write(self, *, whole: bool = False) -> None:
        if self._fd is None:
            return
        data = _MARKS.pack(*self.marks[:_COUNT])
        if whole:
            data = (data + json.dumps(self._about).encode()).ljust(_WHOLE, b"\0")
        # It is so old then, and looks it.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, data, 0)


@dataclass(frozen=True, slots=True)
class Signs:
    """What a process's file says, as of now."""

    about: Mapping[str, Any]
    #: How many seconds ago each was, by the names above.
    ages: tuple[float, ...]

    #: For how long the loop has been doing a task itself; None while it does none.
    task_s: float | None = None

    @property
    def name(self) -> str:
        """The kind and name, in a sentence."""
        return f"{self.about.get('kind')} {self.about.get('name')}".strip()


def read(path: Path) -> Signs:
    """Return what the file says; raise UnavailableError where it is none of ours."""
    try:
        data = path.read_bytes()
        marks, about = _MARKS.unpack(data[: _MARKS.size]), json.loads(data[_MARKS.size :].rstrip(b"\0"))
    except (OSError, ValueError, struct.error):
        raise UnavailableError(f"no signs of life can be read in {path}") from None
    if not isinstance(about, dict) or not _runs(about.get("pid")):
        return Signs({**(about if isinstance(about, dict) else {}), "gone": True}, (math.inf,) * _COUNT)
    now = time.monotonic()
    # A mark from the future is one of another boot of the machine.
    ages = tuple(now - each if 0 < each <= now else math.inf for each in marks)
    since = about.get("task_since")
    return Signs(about, ages, now - since if isinstance(since, float) and 0 < since <= now else None)


def _runs(pid: object) -> bool:
    """Tell whether there is such a process; one that was killed leaves its file behind."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def default_folder() -> Path:
    """Return where the files are where no setting says it: the user's own, in the system's temporary folder."""
    return Path(tempfile.gettempdir()) / f"noteflow-hooks-{os.getuid()}"


def file_name(kind: str, name: str) -> str:
    """Return the name of such a process's file."""
    return quote(f"{kind}-{name}" if name else kind, safe="@")[:200]


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(1, "the folder is somebody else's")
    oldest = time.time() - _KEPT_S
    for each in folder.iterdir():
        with contextlib.suppress(OSError):
            if each.lstat().st_mtime < oldest:
                each.unlink()
