"""Secrets at rest: AES-256-GCM, bound to the webhook and the column they belong to, under keys that can be rotated."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noteflow_hooks.errors import InvalidInputError, SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: The columns of a webhook that hold ciphertext.
Column: TypeAlias = Literal[
    "secret",
    "previous_secret",
    "earlier_secrets",
    "headers",
    "signing_keys",
    "client_certificate",
    "client_key",
    "server_ca",
    "challenge",
    "url_ciphertext",
]
COLUMNS: Final[tuple[Column, ...]] = (
    "secret",
    "previous_secret",
    "earlier_secrets",
    "headers",
    "signing_keys",
    "client_certificate",
    "client_key",
    "server_ca",
    "challenge",
    "url_ciphertext",
)

#: The first byte of a ciphertext: it is bound to its webhook and column.
_VERSION: Final = b"\x02"
#: The older version, bound to the webhook alone: a ciphertext of headers could be moved to the same row's secret, and
#: would decrypt there. It is still read, and no longer written.
_UNBOUND_VERSION: Final = b"\x01"
#: What the database adds to the version byte of the headers of an endpoint that has options: a release that knows no
#: options takes that for a version that it doesn't know, and sends nothing. Alone it stands where there are no headers.
GUARD: Final = 0x10
GUARD_ALONE: Final = bytes([GUARD])
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
#: NIST SP 800-38D recommends 96 bits for GCM.
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _KEY_ID_BYTES
_SEALED_FROM: Final = _HEAD_BYTES + _NONCE_BYTES


class SecretBox:
    """Encrypts with the first of its keys and decrypts with any.

    A ciphertext is a version byte, four bytes that name the key, the nonce, and AES-GCM's output. The webhook's id and
    the column's name are authenticated with it: moved to another row or column, it does not decrypt.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each; the first one encrypts. Without keys nothing can be encrypted or decrypted."""
        self._ciphers = {_key_name(key): AESGCM(key) for key in keys}
        self._first = _key_name(keys[0]) if keys else None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The names of the keys, which reveal nothing of them; the first one's key encrypts."""
        return tuple(name.hex() for name in self._ciphers)

    def encrypt(self, secret: str, *, webhook_id: UUID, column: Column) -> bytes:
        """Return the ciphertext; raise SecretUnavailableError where there is no key to encrypt with."""
        if self._first is None:
            raise SecretUnavailableError("secret: can't be stored, NOTEFLOW_HOOKS_SECRET_KEYS names no key")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret.encode(), _bound_to(_VERSION, webhook_id, column))
        return _VERSION + self._first + nonce + sealed

    def decrypt(self, ciphertext: bytes, *, webhook_id: UUID, column: Column) -> str:
        """Return the secret; raise SecretUnavailableError where its key is missing or the bytes were changed."""
        version, name = _head(ciphertext)
        cipher = self._ciphers.get(name)
        if cipher is None or version not in (_VERSION, _UNBOUND_VERSION):
            raise SecretUnavailableError
        nonce, sealed = ciphertext[_HEAD_BYTES:_SEALED_FROM], ciphertext[_SEALED_FROM:]
        try:
            return cipher.decrypt(nonce, sealed, _bound_to(version, webhook_id, column)).decode()
        except (InvalidTag, ValueError):
            raise SecretUnavailableError from None

    def is_current(self, ciphertext: bytes) -> bool:
        """Tell whether :meth:`encrypt` would make it so now: under the first key, and bound to its column."""
        return _head(ciphertext) == (_VERSION, self._first)


def key_id(ciphertext: bytes) -> str:
    """Return the name of the key that the ciphertext says it was encrypted under."""
    return _head(ciphertext)[1].hex()


def generate_key() -> str:
    """Make a new key, as ``SECRET_KEYS`` takes it: urlsafe base64 of 32 random bytes."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode("ascii")


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys of a comma-separated list; raise InvalidInputError, without repeating any, for a bad one."""
    return tuple(_parse_key(part.strip()) for part in text.split(",") if part.strip())


def _parse_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise InvalidInputError("SECRET_KEYS", "each key must be urlsafe base64 of 32 bytes")
    return key


def _key_name(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_KEY_ID_BYTES]


def _head(ciphertext: bytes) -> tuple[bytes, bytes]:
    """Return the version, without a guard, and the key's name."""
    version = bytes([ciphertext[0] & ~GUARD]) if ciphertext else b""
    return version, ciphertext[1:_HEAD_BYTES]


def _bound_to(version: bytes, webhook_id: UUID, column: Column) -> bytes:
    # An id always has 16 bytes, so that it is clear where the column's name begins.
    return webhook_id.bytes if version == _UNBOUND_VERSION else webhook_id.bytes + column.encode()
