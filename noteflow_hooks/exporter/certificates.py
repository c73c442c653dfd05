"""When the server's own certificate ends, read from the file that is renewed in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from pathlib import Path


def end_of(path: Path | None) -> float | None:
    """Return when the file's first certificate ends, in seconds since 1970; None where there is none to be read."""
    try:
        text = None if path is None else path.read_bytes()
        return None if text is None else x509.load_pem_x509_certificate(text).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
