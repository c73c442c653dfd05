"""Gives an OpenSSL context what an endpoint has of its own, from memory: a key never lies on a disk."""

from __future__ import annotations

import os
import ssl
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def load_own(context: ssl.SSLContext, *, certificate: str, key: str) -> None:
    """Have the context show this certificate, with those behind it; raise ssl.SSLError where OpenSSL refuses that."""
    with _as_file(f"{key}\n{certificate}") as path:
        # Without a password OpenSSL would ask for one, at the terminal.
        context.load_cert_chain(path, password=b"")


def trust_only(context: ssl.SSLContext, authorities: str) -> None:
    """Have the context, which trusts nobody yet, trust these certificates, each by itself."""
    context.load_verify_locations(cadata=authorities)
    # One of them may be an intermediate, or the server's own: whoever names it wants it trusted.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Offer a file that has the text and no other process's way to it: in memory, where the system has such files."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("certificate", os.MFD_CLOEXEC)
        with open(number, "wb", buffering=0) as file:  # noqa: PTH123 - by its number; it has no path
            file.write(text.encode())
            yield f"/proc/self/fd/{number}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            yield file.name
