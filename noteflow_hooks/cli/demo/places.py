"""The demo's folder, which is gone after it, and the certificate of its receiver."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trustme

from noteflow_hooks.cli.support.receiver import HOST
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.children.process import FolderLock
from noteflow_hooks.local.children.process import end_leftovers as end_servers
from noteflow_hooks.local.stack.leftovers import end_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX: Final = "noteflow-demo-"
#: A folder without a lock that is younger than this may be a demo's that is just about to take it.
_YOUNG_S: Final = 60.0


@contextlib.contextmanager
def demo_folder() -> Iterator[Path]:
    """Make a folder for this user alone, which is removed in the end; remove those that killed demos have left."""
    for abandoned in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # In use, or gone in the meantime: both are as they should be.
        with contextlib.suppress(OSError, NoteFlowHooksError):
            _remove(abandoned)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def trusted_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a TLS server's context for loopback, and the file of the authority to trust for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    ca_bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_bundle))
    return context, ca_bundle


def _remove(folder: Path) -> None:
    found = folder.lstat()
    # A link leads elsewhere, whoever made it.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_S:
        return
    lock = FolderLock(folder)
    lock.acquire()
    try:
        end_leftovers(folder / "run")
        end_servers("postgres", folder / "postgres" / "data")
        end_servers("valkey-server", folder / "valkey")
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()
