"""The TCP connections of other processes, to be asked what they are set to."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: ``pidfd_getfd``, the same number on all of Linux' machines since 5.6.
_PIDFD_GETFD: Final = 438
_libc: Final = ctypes.CDLL(None, use_errno=True)


def tcp_connections(pid: int) -> Iterator[socket.socket]:
    """Yield the process' TCP connections, each for as long as it is looked at; raise PermissionError where none may."""
    process = os.pidfd_open(pid)
    try:
        for name in _socket_numbers(pid):
            with suppress(FileNotFoundError), _taken(process, name) as found:
                if _is_connected(found):
                    yield found
    finally:
        os.close(process)


def _socket_numbers(pid: int) -> Iterator[int]:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(each.readlink()).startswith("socket:"):
                yield int(each.name)


def _taken(process: int, number: int) -> socket.socket:
    found = _libc.syscall(_PIDFD_GETFD, process, number, 0)
    if found < 0:
        error = ctypes.get_errno()
        # One that was closed meanwhile is none.
        raise FileNotFoundError if error == errno.EBADF else OSError(error, os.strerror(error))
    return socket.socket(fileno=found)


def _is_connected(found: socket.socket) -> bool:
    if found.family not in {socket.AF_INET, socket.AF_INET6} or found.type != socket.SOCK_STREAM:
        return False
    try:
        found.getpeername()
    except OSError:
        return False
    return True
