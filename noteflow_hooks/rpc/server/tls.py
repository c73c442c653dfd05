"""TLS for the server and for its callers: PEM files become credentials, or one line that names what is wrong.

gRPC itself reports no bad file: it listens, and every handshake fails. So the files are checked first, and gRPC gets
exactly the bytes that were checked. TLS 1.2 is the oldest version that it speaks.
"""

from __future__ import annotations

import logging
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from noteflow_hooks.errors import InvalidInputError, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

log = logging.getLogger(__name__)

CERT: Final = "NOTEFLOW_HOOKS_GRPC_TLS_CERT"
KEY: Final = "NOTEFLOW_HOOKS_GRPC_TLS_KEY"
CLIENT_CA: Final = "NOTEFLOW_HOOKS_GRPC_TLS_CLIENT_CA"
#: What a caller writes in place of a file for the authorities that the system trusts.
SYSTEM: Final = "system"
#: Where systems keep those in one file; looked for after the path that OpenSSL was built with.
_SYSTEM_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
#: The keys with which gRPC's handshakes succeed, as measured: with Ed25519 and P-521 no common algorithm is found.
_KEY_KINDS: Final = "an RSA key of 2048 bits or more, or an elliptic one on P-256 or P-384"
_RSA_BITS: Final = 2048

#: A file's identity: it changes when the file does.
Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The server's PEM files."""

    #: The certificate, and after it those between it and its authority.
    cert: Path
    key: Path
    #: The authorities of the callers' certificates; None asks callers for none.
    client_ca: Path | None = None

    @classmethod
    def of(cls, *, cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
        """Return the files, None for no TLS; raise SettingsError where one is named without the others it needs."""
        if cert is not None and key is not None:
            return cls(cert=cert, key=key, client_ca=client_ca)
        paths = {CERT: cert, KEY: key, CLIENT_CA: client_ca}
        for name in (name for name, path in paths.items() if path is not None):
            missing = " and ".join(other for other in (CERT, KEY) if paths[other] is None)
            raise SettingsError(f"{name} is set, and {missing} is not: TLS needs a certificate and its key")
        return None


class ServerCertificates:
    """The server's certificate and key, read again when a file changes: a renewed certificate needs no restart."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files; raise SettingsError for what is wrong with them."""
        self._files = files
        self._lock = threading.Lock()
        self._stamps = self._read_stamps()
        #: When the certificate in use ends; None once that has been told.
        self._ends_at: datetime | None = None
        self._current = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a port is opened with. gRPC calls :meth:`renewed` at each new connection, in its own threads."""
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            self.renewed,  # type: ignore[arg-type]  # gRPC takes None for no change
            require_client_authentication=self._files.client_ca is not None,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what the files hold now; None where they have not changed, or hold nothing that can be used."""
        with self._lock:
            stamps = self._read_stamps()
            if stamps == self._stamps:
                self._tell_of_its_end()
                return None
            # Set before the read: a file that changes meanwhile is read once more at the next connection.
            self._stamps = stamps
            try:
                self._current = self._read()
            except SettingsError as error:
                # A renewal that is half done, or a mistake: the certificate in use stays.
                log.warning("the TLS files changed and are not taken: %s", error)
                return None
            log.info("the renewed TLS certificate is in use from now on")
            return self._current

    def _tell_of_its_end(self) -> None:
        """Say it once where the certificate in use has ended: who calls knows, and whoever could renew it does not."""
        if self._ends_at is not None and self._ends_at < datetime.now(UTC):
            log.warning("the TLS certificate has ended, and callers refuse it: renew the file of %s", CERT)
            self._ends_at = None

    def _read_stamps(self) -> list[Stamp]:
        files = self._files
        return [_stamp(path) for path in (files.cert, files.key, files.client_ca) if path is not None]

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        try:
            cert, key = read_pair(files.cert, key=files.key, names=(CERT, KEY))
            roots = None if files.client_ca is None else read_authorities(files.client_ca, name=CLIENT_CA)
        except InvalidInputError as error:
            raise SettingsError(str(error)) from None
        self._ends_at = _certificates(cert, files.cert, name=CERT)[0].not_valid_after_utc
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=roots)


def client_credentials(
    ca: str, *, cert: Path | None = None, key: Path | None = None, names: tuple[str, str, str]
) -> grpc.ChannelCredentials:
    """Return a caller's credentials: the authorities that it trusts, and its own certificate, if any.

    ``ca`` is a PEM file or ``system``. ``names`` are what an InvalidInputError calls the three where one is wrong.
    """
    roots = _system_authorities(names[0]) if ca == SYSTEM else read_authorities(Path(ca), name=names[0])
    if cert is None or key is None:
        return grpc.ssl_channel_credentials(roots)
    chain, private = read_pair(cert, key=key, names=names[1:])
    return grpc.ssl_channel_credentials(roots, private, chain)


def read_authorities(path: Path, *, name: str) -> bytes:
    """Return the bytes of a file of certificates; raise InvalidInputError for ``name`` where it is none."""
    data = _read(path, name=name)
    try:
        # Read by OpenSSL, as in gRPC: it takes old authorities that systems still carry and stricter readers refuse.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise InvalidInputError(name, f"{path} holds no PEM certificate, or a damaged one") from None
    return data


def read_pair(cert: Path, *, key: Path, names: tuple[str, str]) -> tuple[bytes, bytes]:
    """Return a certificate that is valid now, and its key; InvalidInputError says which of ``names`` is wrong."""
    cert_pem, key_pem = _read(cert, name=names[0]), _read(key, name=names[1])
    leaf = _certificates(cert_pem, cert, name=names[0])[0]
    private = _private_key(key_pem, key, name=names[1])
    if leaf.public_key() != private.public_key():
        raise InvalidInputError(names[1], f"{key} is not the key of the first certificate in {cert} ({names[0]})")
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        raise InvalidInputError(names[0], f"{cert} expired at {leaf.not_valid_after_utc.isoformat()}")
    if leaf.not_valid_before_utc > now:
        raise InvalidInputError(names[0], f"{cert} is not valid before {leaf.not_valid_before_utc.isoformat()}")
    return cert_pem, key_pem


def name_in(certificate: bytes) -> str:
    """Return a name or address that the first certificate is valid for."""
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = [str(each.value) for each in extension.value if isinstance(each, x509.DNSName | x509.IPAddress)]
            return names[0].replace("*", "any", 1) if names else ""
    named = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(named[0].value) if named else ""


def _read(path: Path, *, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(name, f"{path} can't be read: {error.strerror}") from None


def _certificates(data: bytes, path: Path, *, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise InvalidInputError(name, f"{path} holds no PEM certificate, or a damaged one") from None


def _private_key(data: bytes, path: Path, *, name: str) -> PrivateKeyTypes:
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise InvalidInputError(name, f"{path} is encrypted, and nobody is there to ask for its password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError(name, f"{path} holds no PEM private key, or a damaged one") from None
    match key:
        case rsa.RSAPrivateKey(key_size=bits) if bits >= _RSA_BITS:
            return key
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1() | ec.SECP384R1()):
            return key
        case _:
            raise InvalidInputError(name, f"{path} holds a key of a kind that can't be used; it must be {_KEY_KINDS}")


def _system_authorities(name: str) -> bytes:
    # Without these gRPC uses the list in its own package, which is as old as that package.
    for path in map(Path, (ssl.get_default_verify_paths().openssl_cafile, *_SYSTEM_FILES)):
        if path.is_file():
            return read_authorities(path, name=name)
    raise InvalidInputError(name, "this system keeps its authorities in no file that is known; name a PEM file")


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
