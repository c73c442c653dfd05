"""Signatures over the exact bytes that are sent: pure functions that need only the standard library.

A receiver may use them as they are, or copy this file: it imports nothing else of ours.

Two schemes go out beside each other: ``X-NoteFlow-Signature`` (hex, keyed with the secret's text)
and Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks, "Signature scheme").
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets as _random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a Standard Webhooks secret starts with.
SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
#: How far a ``webhook-timestamp`` may be from the receiver's clock, in seconds.
DEFAULT_TOLERANCE_S = 300

_SIGNATURE_PREFIX = "sha256="
_DECODED_BYTES = range(24, 65)
_PLAIN_CHARACTERS = range(8, 257)
_HINT_FROM_CHARACTERS = 24
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
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, payload)
    digests = (hmac.digest(_standard_key(secret), content, "sha256") for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode("ascii") for digest in digests)


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

    False, and never an error, for whatever is malformed, the secret included. ``headers`` is any mapping of names to
    values, in whatever case; ``now`` is unix seconds, by default the clock's.
    """
    try:
        lowered = {name.lower(): value for name, value in headers.items()}
        if secret_problem(secret) is not None or not _TIMESTAMP.fullmatch(lowered["webhook-timestamp"]):
            return False
        timestamp = int(lowered["webhook-timestamp"])
        if not abs((time.time() if now is None else now) - timestamp) <= tolerance_s:
            return False
        expected = sign_standard(lowered["webhook-id"], timestamp, payload, [secret]).encode()
        given = lowered["webhook-signature"].split(" ")
        # All are compared, even after a match, so that the time taken reveals nothing.
        return sum(hmac.compare_digest(expected, each.encode()) for each in given) > 0
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _standard_key(secret: str) -> bytes:
    key = _decoded(secret) if secret.startswith(SECRET_PREFIX) else secret.encode()
    if not key:
        raise ValueError("the secret has no bytes to sign with")
    return key


def _decoded(secret: str) -> bytes:
    """Return the bytes behind ``whsec_``; no bytes where that is no base64."""
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
