"""Certificates for tests: one authority a process, and whatever it signs."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
import warnings
from pathlib import Path

import trustme


@functools.cache
def authority() -> trustme.CA:
    """Return the authority that :func:`authority_pem` makes a client trust."""
    return trustme.CA()


@functools.cache
def authority_pem() -> Path:
    """Return the authority's certificate as a file, which is there as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="noteflow-hooks-ca-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority().cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder / "ca.pem"


def server_context(ca: trustme.CA, names: tuple[str, ...], version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a server's context with a certificate for those names; None speaks all current versions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = version
    ca.issue_cert(*names).configure_cert(context)
    return context
