"""Secrets at rest: AES-256-GCM, bound to the webhook they belong to, with several keys so that keys can be rotated."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noteflow_hooks.errors import InvalidInputError, SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

#: The first byte of a ciphertext: this layout.
_VERSION: Final = b"\x01"
_KEY_BYTES: Final = 32
_KEY_ID_BYTES: Final = 4
#: NIST SP 800-38D recommends 96 bits for GCM.
_NONCE_BYTES: Final = 12


class SecretBox:
    """Encrypts with the first of its keys and decrypts with any.

    A ciphertext is a version byte, four bytes that name the key, the nonce, and AES-GCM's output. The webhook's id is
    authenticated with it: moved to another row, it does not decrypt.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each, the one that encrypts first. Without keys there are no secrets to be had."""
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0]) if keys else None

    def encrypt(self, secret: str, *, webhook_id: UUID) -> bytes:
        """Return the ciphertext; raise SecretUnavailableError where there is no key to encrypt with."""
        if self._first is None:
            raise SecretUnavailableError("secret: can't be stored, NOTEFLOW_HOOKS_SECRET_KEYS names no key")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, secret.encode(), webhook_id.bytes)
        return _VERSION + self._first + nonce + sealed

    def decrypt(self, ciphertext: bytes, *, webhook_id: UUID) -> str:
        """Return the secret; raise SecretUnavailableError where its key is missing or the bytes were changed."""
        head = len(_VERSION) + _KEY_ID_BYTES
        cipher = self._ciphers.get(ciphertext[len(_VERSION) : head])
        if cipher is None or ciphertext[:1] != _VERSION:
            raise SecretUnavailableError
        try:
            nonce, sealed = ciphertext[head : head + _NONCE_BYTES], ciphertext[head + _NONCE_BYTES :]
            return cipher.decrypt(nonce, sealed, webhook_id.bytes).decode()
        except (InvalidTag, ValueError):
            raise SecretUnavailableError from None


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


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_KEY_ID_BYTES]
