"""Run a command as nobody in a user namespace of its own: ``python unprivileged.py COMMAND ...``.

PostgreSQL refuses to run as root, or as a user without a name. In the namespace, our user is mapped to nobody: the
server sees an ordinary user, and still owns its data in the file system.

It is run as a file, without an import path, so it uses the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

#: The exit status if the system forbids user namespaces (EX_OSERR, which no server uses).
FORBIDDEN: Final = 71

_CLONE_NEWUSER: Final = 0x10000000
_NOBODY: Final = 65534


def enter_namespace() -> None:
    """Become nobody; raise OSError where the system does not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    # user_namespaces(7): without privilege outside, a group is mapped only after giving up setgroups.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1", encoding="ascii")


def main() -> None:
    """Enter the namespace and become the command."""
    try:
        enter_namespace()
    except OSError as error:
        sys.stderr.write(f"no user namespace: {error}\n")
        sys.exit(FORBIDDEN)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
