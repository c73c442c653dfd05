"""Reads certificates and keys, and refuses what an endpoint may not have. No refusal repeats any of a key.

Whatever stands in a text costs a bounded time: its size is looked at before it is parsed, a key's before it is used.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typing_extensions import override

from noteflow_hooks.certificates.loading import load_own, trust_only
from noteflow_hooks.domain.client_certificates import CERTIFICATES_SIZE, CHAIN_LIMIT, KEY_SIZE, CertificateInfo, Read
from noteflow_hooks.domain.ports.certificates import CertificateReader
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

#: The bits of an RSA key. One of 4,096 takes 3 ms a handshake, one of 8,192 takes 30, in which a worker does nothing
#: else.
_RSA_BITS: Final = range(2048, 4097)
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_KEYS: Final = "RSA of 2,048 to 4,096 bits, P-256 and P-384"
#: The most characters that are shown of a name.
_NAME_LIMIT: Final = 256
_BEGIN_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----")
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40})-----")
#: What a key is made to sign, to see whether it fits its certificate.
_PROOF: Final = b"NoteFlow Hooks: does this key fit?"


def _now() -> datetime:
    return datetime.now(UTC)


class PemReader(CertificateReader):
    """Reads PEM by `cryptography`, and has OpenSSL load what it is to use."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        """``now`` is the clock by which certificates have ended."""
        self._now = now

    @override
    def read(self, client_certificate: str | None, client_key: str | None, server_ca: str | None) -> Read:
        client, authorities = check_all(
            lambda: self._client(client_certificate, client_key) if client_certificate is not None else None,
            lambda: self._authorities(server_ca) if server_ca is not None else (),
        )
        return Read(client, authorities)

    def _client(self, certificate: str, key_text: str | None) -> CertificateInfo:
        field = "client_certificate"
        chain, key = check_all(
            lambda: _in_order(self._certificates(field, certificate)),
            lambda: _key(key_text) if key_text is not None else None,
        )
        own = chain[0]
        public = _public_key(own)
        if key is None or key_text is None:
            raise InvalidInputError("client_key", "is needed too")
        if not _fits(key, public):
            raise InvalidInputError(
                "client_key", "does not fit client_certificate; allowed is the key of its first one"
            )
        _check_loads(field, lambda context: load_own(context, certificate=certificate, key=key_text))
        return _info(field, own)

    def _authorities(self, text: str) -> tuple[CertificateInfo, ...]:
        field = "server_ca"
        found = self._certificates(field, text)
        _check_loads(field, lambda context: trust_only(context, text))
        return tuple(_info(field, each) for each in found)

    def _certificates(self, field: str, text: str) -> list[x509.Certificate]:
        """Return the certificates of a text, which has nothing else in it; none of them has ended."""
        _check_text(field, text, most=CERTIFICATES_SIZE)
        allowed = f"allowed are 1 to {CHAIN_LIMIT} certificates in PEM"
        if any(each != "CERTIFICATE" for each in _BEGIN.findall(text)):
            raise InvalidInputError(field, f"has something that is no certificate in it; {allowed}")
        count = len(_BEGIN_CERTIFICATE.findall(text))
        if not 1 <= count <= CHAIN_LIMIT:
            raise InvalidInputError(field, f"has {count} certificates; {allowed}")
        try:
            found = x509.load_pem_x509_certificates(text.encode())
            ends = [each.not_valid_after_utc for each in found]
        except Exception:  # noqa: BLE001 - the library's boundary: it names many errors, and each says the same of the text
            raise InvalidInputError(field, f"can't be read; {allowed}") from None
        if len(found) != count:
            raise InvalidInputError(field, f"can't be read as a whole; {allowed}")
        for number, end in enumerate(ends, start=1):
            if end <= self._now():
                raise InvalidInputError(
                    field, f"certificate {number} has ended at {end:%Y-%m-%d %H:%M:%S} UTC; allowed are valid ones"
                )
        return found


def _check_text(field: str, text: str, *, most: int) -> None:
    if len(text) > most:
        raise InvalidInputError(field, f"has {len(text)} characters; at most {most} are allowed")
    if not text.isascii() or "\0" in text:
        raise InvalidInputError(field, "is not ASCII text; allowed is PEM")


def _in_order(chain: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    """Return the chain, each of which must be issued by the next one."""
    try:
        links = [(each.issuer, behind.subject) for each, behind in pairwise(chain)]
    except Exception:  # noqa: BLE001 - as above
        raise InvalidInputError("client_certificate", "has a name that can't be read") from None
    for number, (issuer, subject) in enumerate(links, start=1):
        if issuer != subject:
            raise InvalidInputError(
                "client_certificate",
                f"certificate {number} is not issued by certificate {number + 1}; allowed is the client's own first,"
                " and behind each its issuer",
            )
    return chain


def _public_key(own: x509.Certificate) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    try:
        key = own.public_key()
    except Exception:  # noqa: BLE001 - as above
        raise InvalidInputError("client_certificate", f"has a key that can't be read; allowed are {_KEYS}") from None
    _check_kind("client_certificate", key)
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)  # noqa: S101 - as just checked, for mypy
    return key


def _key(text: str) -> _PrivateKey:
    _check_text("client_key", text, most=KEY_SIZE)
    kinds = _BEGIN.findall(text)
    if len(kinds) != 1 or not kinds[0].endswith("PRIVATE KEY"):
        raise InvalidInputError("client_key", "is not one private key; allowed is one in PEM, unencrypted")
    if kinds[0].startswith("ENCRYPTED") or "Proc-Type:" in text:
        raise InvalidInputError("client_key", "is encrypted; allowed is one in PEM, unencrypted")
    try:
        # The library's own check, whether an RSA key's factors are primes, takes 0.2 s for 4,096 bits. That the key
        # signs what its certificate verifies says more.
        key = load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=True)
    except Exception:  # noqa: BLE001 - as above
        raise InvalidInputError("client_key", "can't be read; allowed is one in PEM, unencrypted") from None
    _check_kind("client_key", key)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)  # noqa: S101 - as just checked, for mypy
    return key


def _check_kind(field: str, key: object) -> None:
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        if key.key_size in _RSA_BITS:
            return
        problem = f"is RSA of {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if isinstance(key.curve, _CURVES):
            return
        problem = f"is of the curve {key.curve.name}"
    else:
        problem = "is of another kind"
    raise InvalidInputError(field, f"{problem}; allowed keys are {_KEYS}")


def _fits(key: _PrivateKey, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bool:
    """Tell whether the certificate's key verifies what this one signs."""
    try:
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(public, rsa.RSAPublicKey):
            if key.public_key() != public:
                return False
            signed = key.sign(_PROOF, padding.PKCS1v15(), hashes.SHA256())
            public.verify(signed, _PROOF, padding.PKCS1v15(), hashes.SHA256())
            return True
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(key.sign(_PROOF, ec.ECDSA(hashes.SHA256())), _PROOF, ec.ECDSA(hashes.SHA256()))
            return True
    except InvalidSignature:
        pass
    except Exception:  # noqa: BLE001 - as above: a key whose parts don't belong together
        return False
    return False


def _check_loads(field: str, load: Callable[[ssl.SSLContext], None]) -> None:
    """Have OpenSSL load it as a worker does, which has rules of its own."""
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except (ssl.SSLError, ValueError):
        raise InvalidInputError(field, "is refused by OpenSSL; allowed is what TLS can use") from None


def _info(field: str, certificate: x509.Certificate) -> CertificateInfo:
    try:
        return CertificateInfo(
            subject=certificate.subject.rfc4514_string()[:_NAME_LIMIT],
            issuer=certificate.issuer.rfc4514_string()[:_NAME_LIMIT],
            not_after=certificate.not_valid_after_utc,
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        )
    except Exception:  # noqa: BLE001 - as above
        raise InvalidInputError(field, "has a name that can't be read; allowed is one by RFC 5280") from None
