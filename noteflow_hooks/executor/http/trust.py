"""Which certificates TLS connections trust: the system's and the operator's bundle. No environment variable counts."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from typing import Final

from requests.adapters import DEFAULT_CA_BUNDLE_PATH

#: TLS 1.2's suites, without DHE: there the endpoint chooses the prime, and one of 10,000 bits takes a second of
#: processor time in a single call. TLS 1.3 has suites and groups of its own.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"


@cache
def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the context for that bundle, made once in a process, because reading the certificates takes a while."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # RFC 9525: only the certificate's alternative names count.
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    _load_system(context)
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _load_system(context: ssl.SSLContext) -> None:
    # Not load_default_certs(): it lets SSL_CERT_FILE and SSL_CERT_DIR replace the system's certificates.
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if not (file.is_file() or folder.is_dir()):
        file = Path(DEFAULT_CA_BUNDLE_PATH)
    context.load_verify_locations(cafile=file if file.is_file() else None, capath=folder if folder.is_dir() else None)
