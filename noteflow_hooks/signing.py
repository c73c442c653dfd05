"""Signatures over the exact bytes that are sent: pure functions that need only the standard library.

A receiver may use them as they are, or copy this file: it imports nothing else of ours.

Two schemes go out beside each other: ``X-NoteFlow-Signature`` (hex, keyed with the secret's text)
and Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"), by a secret
(``v1``, HMAC-SHA256) or by an endpoint's key pair (``v1a``, Ed25519), of which a receiver needs the public key alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as _random
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a Standard Webhooks secret starts with.
SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
#: What the public and the private key of a pair start with.
PUBLIC_KEY_PREFIX = "whpk_"
PRIVATE_KEY_PREFIX = "whsk_"
#: What a signature by a key pair starts with.
KEY_SIGNATURE_PREFIX = "v1a,"
#: How far a ``webhook-timestamp`` may be from the receiver's clock, in seconds.
DEFAULT_TOLERANCE_S = 300

_SIGNATURE_PREFIX = "sha256="
_DECODED_BYTES = range(24, 65)
_PLAIN_CHARACTERS = range(8, 257)
_HINT_FROM_CHARACTERS = 24
_KEY_BYTES = 32
_KEY_SIGNATURE_BYTES = 64
#: So many signatures by key pairs are looked at: we send six at most, and each takes a plain receiver milliseconds.
_KEY_SIGNATURES_LIMIT = 16
#: Unix seconds as they are sent, with enough digits for the next thirty thousand years.
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}")


def generate_secret() -> str:
    """Make a new secret: ``whsec_`` and the base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(_random.token_bytes(32)).decode("ascii")


def secret_problem(secret: str) -> str | None:
    """Return why the secret may not be used, without repeating it; None where it may.

    Allowed are ``whsec_`` and strict base64 of 24 to 64 bytes, or 8 to 256 visible ASCII characters.
    """
    if secret.startswith(SECRET_PREFIX):
        decoded = _decoded(secret)
        # Encoded again and compared: some receivers refuse base64 whose unused last bits are not zero.
        if len(decoded) not in _DECODED_BYTES or SECRET_PREFIX + base64.b64encode(decoded).decode("ascii") != secret:
            return "after whsec_ there must be strict base64 of 24 to 64 bytes"
    elif secret.startswith((PUBLIC_KEY_PREFIX, PRIVATE_KEY_PREFIX)):
        # Everybody may know a public key: whoever took one for a secret would take anybody's signature.
        return "must not be a key of a pair, whpk_… or whsk_…"
    elif len(secret) not in _PLAIN_CHARACTERS or not all("!" <= c <= "~" for c in secret):
        return "must be whsec_… or 8 to 256 visible ASCII characters, without spaces"
    return None


def secret_hint(secret: str) -> str:
    """Return the last four characters of a secret of 24 or more, and nothing of a shorter one."""
    return secret[-4:] if len(secret) >= _HINT_FROM_CHARACTERS else ""


def sign(payload: bytes, secret: str) -> str:
    """Return the value of ``X-NoteFlow-Signature``: ``sha256=`` and the hex HMAC-SHA256 of the body."""
    return _SIGNATURE_PREFIX + hmac.digest(secret.encode(), payload, "sha256").hex()


def verify_signature(payload: bytes, signature: str, secret: str) -> bool:
    """Tell in constant time whether ``X-NoteFlow-Signature`` fits the raw body.

    False, and never an error, for whatever is malformed, the secret included.
    """
    try:
        if secret_problem(secret) is not None:
            return False
        return hmac.compare_digest(sign(payload, secret).encode(), signature.encode())
    except (AttributeError, TypeError, ValueError):
        return False


def sign_standard(message_id: str, timestamp: int, payload: bytes, secrets: Sequence[str]) -> str:
    """Return the value of ``webhook-signature``: ``v1,<base64>`` for each secret, in order, separated by spaces.

    ``timestamp`` is unix seconds, the same as in ``webhook-timestamp``. Raise ValueError for a ``whsec_`` secret that
    decodes to no bytes: anybody could sign with it.
    """
    content = standard_content(message_id, timestamp, payload)
    digests = (hmac.digest(_standard_key(secret), content, "sha256") for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode("ascii") for digest in digests)


def standard_content(message_id: str, timestamp: int, payload: bytes) -> bytes:
    """Return what Standard Webhooks has one sign."""
    return b"%s.%d.%s" % (message_id.encode(), timestamp, payload)


class Signer:
    """Signs many bodies with one secret, as :func:`sign` and :func:`sign_standard` do.

    What depends on the secret alone is computed once. The object is as secret as the secret itself.
    """

    __slots__ = ("_plain", "_standard")

    def __init__(self, secret: str) -> None:
        """Raise ValueError for a ``whsec_`` secret that decodes to no bytes, as :func:`sign_standard` does."""
        self._plain = hmac.new(secret.encode(), digestmod="sha256")
        self._standard = hmac.new(_standard_key(secret), digestmod="sha256")

    def sign(self, payload: bytes) -> str:
        """Return the value of ``X-NoteFlow-Signature``."""
        keyed = self._plain.copy()
        keyed.update(payload)
        return _SIGNATURE_PREFIX + keyed.hexdigest()

    def sign_standard(self, message_id: str, timestamp: int, payload: bytes) -> str:
        """Return this secret's part of ``webhook-signature``."""
        keyed = self._standard.copy()
        keyed.update(b"%s.%d." % (message_id.encode(), timestamp))
        keyed.update(payload)
        return "v1," + binascii.b2a_base64(keyed.digest(), newline=False).decode("ascii")


def verify_standard(
    payload: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance_s: float = DEFAULT_TOLERANCE_S,
    now: float | None = None,
) -> bool:
    """Tell whether the Standard Webhooks headers fit the raw body and are recent.

    ``secret`` is the endpoint's secret, or its public key (``whpk_…``). False, and never an error, for whatever is
    malformed, the secret included. ``headers`` is any mapping of names to values, in whatever case; ``now`` is unix
    seconds, by default the clock's.
    """
    try:
        is_key = secret.startswith(PUBLIC_KEY_PREFIX)
        lowered = {name.lower(): value for name, value in headers.items()}
        if not (is_key or secret_problem(secret) is None) or not _TIMESTAMP.fullmatch(lowered["webhook-timestamp"]):
            return False
        timestamp = int(lowered["webhook-timestamp"])
        if not abs((time.time() if now is None else now) - timestamp) <= tolerance_s:
            return False
        given = lowered["webhook-signature"].split(" ")
        if is_key:
            return _is_signed_by(secret, standard_content(lowered["webhook-id"], timestamp, payload), given)
        expected = sign_standard(lowered["webhook-id"], timestamp, payload, [secret]).encode()
        # All are compared, even after a match, so that the time taken reveals nothing.
        return sum(hmac.compare_digest(expected, each.encode()) for each in given) > 0
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _standard_key(secret: str) -> bytes:
    key = _decoded(secret) if secret.startswith(SECRET_PREFIX) else secret.encode()
    if not key:
        raise ValueError("the secret has no bytes to sign with")
    return key


def _decoded(secret: str, prefix: str = SECRET_PREFIX) -> bytes:
    """Return the bytes behind the prefix; no bytes where that is no base64."""
    try:
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_signed_by(public_key: str, content: bytes, given: Sequence[str]) -> bool:
    key = _decoded(public_key, PUBLIC_KEY_PREFIX)
    if len(key) != _KEY_BYTES or _public_point(key) is None:
        return False
    by_keys = [each for each in given if each.startswith(KEY_SIGNATURE_PREFIX)][:_KEY_SIGNATURES_LIMIT]
    signatures = [_decoded(each, KEY_SIGNATURE_PREFIX) for each in by_keys]
    return any(len(each) == _KEY_SIGNATURE_BYTES and _is_ed25519(key, each, content) for each in signatures)


def _is_ed25519(key: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether the signature is that key's, by ``cryptography`` where it is there and has the method."""
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - it may be missing
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - as above
            Ed25519PublicKey,
        )
    except ImportError:
        return _is_ed25519_plainly(key, signature, content)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except UnsupportedAlgorithm:
        return _is_ed25519_plainly(key, signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


# Ed25519 as RFC 8032 has it (5.1, and the sketch in its section 6), for checking alone: all that it works on is public,
# so that it doesn't matter how long it takes for what. Points are in extended coordinates.
_Point = tuple[int, int, int, int]
_NEUTRAL = (0, 1, 1, 0)
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)


def _is_ed25519_plainly(key: bytes, signature: bytes, content: bytes) -> bool:
    public, base = _public_point(key), _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    nonce, scalar = signature[:_KEY_BYTES], int.from_bytes(signature[_KEY_BYTES:], "little")
    if public is None or base is None or scalar >= _ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(nonce + key + content).digest(), "little") % _ORDER
    x, y, z, t = public
    return _encoded(_sum(_times(scalar, base), _times(challenge, (-x, y, z, -t)))) == nonce


@lru_cache(maxsize=64)
def _public_point(key: bytes) -> _Point | None:
    """Return the public key's point; None where there is none, or one of those by which everybody can sign."""
    point = _point(key)
    return None if point is None or _encoded(_times(8, point)) == _encoded(_NEUTRAL) else point


def _point(encoded: bytes) -> _Point | None:
    """Return the point that is written so; None where there is none."""
    number = int.from_bytes(encoded, "little")
    y, sign = number % 2**255, number >> 255
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _encoded(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")


def _sum(first: _Point, second: _Point) -> _Point:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = first, second
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * t1 * t2 * _D, 2 * z1 * z2
    e, f, g, h = (b - a) % _P, (d - c) % _P, (d + c) % _P, (b + a) % _P
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while number:
        if number & 1:
            total = _sum(total, point)
        point, number = _sum(point, point), number >> 1
    return total
