"""Client certificates for tests: pairs of every kind, and the contexts of servers that ask for one."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.certificates import authority, server_context

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Pair:
    """A certificate, with those behind it, and its key, as PEM."""

    certificate: str
    key: str

    @property
    def number(self) -> int:
        """The secret number of a key on a curve."""
        key = serialization.load_pem_private_key(self.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.private_numbers().private_value


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key, made once a process for each size."""
    return rsa.generate_private_key(65537, bits)


def key_pem(key: Key, *, password: bytes | None = None) -> str:
    """Return the key as PKCS#8."""
    sealing = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing).decode()


@dataclass(frozen=True)
class Issuer:
    """Who signs certificates."""

    name: x509.Name
    key: Key
    pem: str

    @classmethod
    def root(cls, name: str = "Root") -> Issuer:
        """Make one that signs itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(named(name), key, _signed(named(name), key, named(name), key, is_authority=True))

    def below(self, name: str) -> Issuer:
        """Make one that this one has signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Issuer(named(name), key, _signed(named(name), key, self.name, self.key, is_authority=True))

    def pair(self, *, key: Key | None = None, name: str = "client", not_after: datetime | None = None) -> Pair:
        """Make a client's certificate, without this one behind it."""
        own = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        return Pair(_signed(named(name), own, self.name, self.key, not_after=not_after), key_pem(own))


def named(name: str) -> x509.Name:
    """Return a name that has but this."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


@functools.cache
def client_root() -> Issuer:
    """Return the authority that :func:`demanding_context` asks for."""
    return Issuer.root("Clients")


def demanding_context(*names: str, tls_version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return the context of a server that takes clients of :func:`client_root` alone."""
    context = server_context(authority(), names, tls_version)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_root().pem)
    return context


def _signed(
    subject: x509.Name,
    key: Key,
    issuer: x509.Name,
    signer: Key,
    *,
    is_authority: bool = False,
    not_after: datetime | None = None,
) -> str:
    now = datetime.now(UTC)
    end = not_after if not_after is not None else now + _YEAR
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(min(now, end) - _YEAR).not_valid_after(end)
    made = made.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    signed = made.sign(signer, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()
