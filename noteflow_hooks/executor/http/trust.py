"""Whom TLS connections trust: the system's certificates and the operator's bundle, and no environment variable."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from requests.adapters import DEFAULT_CA_BUNDLE_PATH


@cache
def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the context for that bundle, made once a process: reading the certificates takes a while."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_system(context)
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _load_system(context: ssl.SSLContext) -> None:
    # Not load_default_certs(), for that lets SSL_CERT_FILE and SSL_CERT_DIR replace the system's certificates.
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if not (file.is_file() or folder.is_dir()):
        file = Path(DEFAULT_CA_BUNDLE_PATH)
    context.load_verify_locations(cafile=file if file.is_file() else None, capath=folder if folder.is_dir() else None)
