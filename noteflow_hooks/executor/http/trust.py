"""Which certificates TLS connections trust: the system's and the operator's bundle. No environment variable counts.

An endpoint may trust authorities of its own in place of both, and show a certificate: its context is made for it alone.
"""

from __future__ import annotations

import re
import ssl
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from requests.adapters import DEFAULT_CA_BUNDLE_PATH

from noteflow_hooks.certificates.loading import load_own, trust_only
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.faults import ExchangeError

if TYPE_CHECKING:
    from noteflow_hooks.executor.http.prepared import PreparedEndpoint

#: TLS 1.2's suites, without DHE: there the endpoint chooses the prime, and one of 10,000 bits takes a second of
#: processor time in a single call. TLS 1.3 has suites and groups of its own.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
#: How the files of a folder are named that OpenSSL looks a certificate up in, when it needs it.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
#: The most contexts of endpoints. Each takes 15 KB where the system's certificates lie in such a folder; where all must
#: be loaded, 800 KB.
_CONTEXTS_LIMIT: Final = 256
_LARGE_CONTEXTS_LIMIT: Final = 16


@cache
def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the context for that bundle, made once in a process, because reading the certificates takes a while."""
    context = _bare()
    _load_system(context)
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


class OwnContexts:
    """The contexts of endpoints that have certificates of their own: one for each version, bounded in number.

    A context holds the endpoint's key. It goes with its endpoint's version, or before, when there are too many: it is
    made again then, in one to two milliseconds.
    """

    def __init__(self, ca_bundle: Path | None, *, limit: int | None = None) -> None:
        """``ca_bundle`` is trusted beside the system's, where an endpoint has no authorities of its own."""
        self._ca_bundle = ca_bundle
        self._limit = limit if limit is not None else _CONTEXTS_LIMIT if _hashed() else _LARGE_CONTEXTS_LIMIT
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[PreparedEndpoint, ssl.SSLContext] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def of(self, endpoint: PreparedEndpoint) -> ssl.SSLContext:
        """Return the context; raise ExchangeError where what is stored can't be used, as after a change by hand."""
        with self._lock:
            context = self._kept.pop(endpoint, None)
            if context is None:
                context = self._made(endpoint)
            # At the end: the first one has been idle longest.
            self._kept[endpoint] = context
            while len(self._kept) > self._limit:
                self._kept.pop(next(iter(self._kept)))
            return context

    def _made(self, endpoint: PreparedEndpoint) -> ssl.SSLContext:
        own, context = endpoint.tls, _bare()
        try:
            if own.server_ca is not None:
                trust_only(context, own.server_ca)
            else:
                _load_system(context, lean=True)
                if self._ca_bundle is not None:
                    context.load_verify_locations(self._ca_bundle)
            if own.client_certificate is not None or own.client_key is not None:
                # One without the other, which only a change by hand can leave, is refused here.
                load_own(context, certificate=own.client_certificate or "", key=own.client_key or "")
        except (ssl.SSLError, ValueError) as error:
            # Not the library's words: they are about what is secret.
            raise ExchangeError(ErrorKind.SECRET_UNAVAILABLE, "The webhook's certificates can't be used") from error
        return context


def _bare() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # RFC 9525: only the certificate's alternative names count.
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _hashed() -> Path | None:
    """Return the folder in which OpenSSL finds the system's certificates by their names; None where it has none."""
    folder = Path(ssl.get_default_verify_paths().openssl_capath)
    return folder if folder.is_dir() and any(map(_HASHED.fullmatch, (each.name for each in folder.iterdir()))) else None


def _load_system(context: ssl.SSLContext, *, lean: bool = False) -> None:
    """Have the context trust the system's; ``lean`` has it read each when it is needed, where that can be."""
    if lean and (hashed := _hashed()) is not None:
        context.load_verify_locations(capath=hashed)
        return
    # Not load_default_certs(): it lets SSL_CERT_FILE and SSL_CERT_DIR replace the system's certificates.
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    if not (file.is_file() or folder.is_dir()):
        file = Path(DEFAULT_CA_BUNDLE_PATH)
    context.load_verify_locations(cafile=file if file.is_file() else None, capath=folder if folder.is_dir() else None)
