"""Checks that only this user can change a file or folder. What another user could have put there is never read.

Whoever can write `up.json` decides where a caller's token goes; whoever can write the data folder, which keys are used.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
#: Follows no link, and does not wait for the other end of a pipe.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LIMIT_BYTES: Final = 1024 * 1024


class NotPrivateError(NoteFlowHooksError):
    """A file or folder that counts as ours could have been made or changed by another user."""


def make_folder(folder: Path) -> None:
    """Make the folder, for this user alone, if it is missing; raise NotPrivateError if others may change it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Raise NotPrivateError if other users own or may change the folder, or a link to it. It may be missing."""
    with suppress(FileNotFoundError, NotADirectoryError):
        link = folder.lstat()
        if stat.S_ISLNK(link.st_mode):
            _check_owner(folder, link)
        found = folder.stat()
        _check_owner(folder, found)
        if found.st_mode & _OTHERS_WRITE:
            raise NotPrivateError(f"{folder} can be changed by other users (mode {_mode(found)}): chmod go-w it")


def read(path: Path) -> bytes | None:
    """Return what the file holds, None if there is none; raise NotPrivateError if another user may have written it."""
    try:
        descriptor = os.open(path, _READ)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = "it is a link" if path.is_symlink() else error.strerror
        raise NotPrivateError(f"{path} can't be trusted or read: {reason}") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotPrivateError(f"{path} is no plain file: remove it")
        _check_owner(path, found)
        if found.st_mode & _OTHERS_WRITE:
            raise NotPrivateError(f"{path} can be changed by other users (mode {_mode(found)}): chmod go-w it")
        return file.read(_LIMIT_BYTES)


def check_env_file(path: Path) -> None:
    """Raise NotPrivateError if a `.env` belongs neither to this user nor to root, or if everybody may change it."""
    found = path.stat()
    if found.st_uid != 0:
        _check_owner(path.absolute(), found)
    if found.st_mode & stat.S_IWOTH:
        raise NotPrivateError(f"{path.absolute()} can be changed by everybody (mode {_mode(found)}): chmod o-w it")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise NotPrivateError(
            f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}, who will not trust it: "
            "remove it, or name another folder"
        )


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
