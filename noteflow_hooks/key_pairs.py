"""Key pairs that sign, Ed25519 as Standard Webhooks has it. Only `cryptography` ever works on a private key.

A private key is a text, ``whsk_`` and the base64 of 64 bytes: the seed and the public key, as libsodium and the other
implementations of Standard Webhooks have it. It never leaves the server and its workers.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from noteflow_hooks.signing import KEY_SIGNATURE_PREFIX, PRIVATE_KEY_PREFIX, PUBLIC_KEY_PREFIX, standard_content

_SEED_BYTES: Final = 32
_BYTES: Final = 64


def generate_key_pair() -> str:
    """Make a new private key, which has its public key in it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - few ever need it

    made = Ed25519PrivateKey.generate()
    both = made.private_bytes_raw() + made.public_key().public_bytes_raw()
    return PRIVATE_KEY_PREFIX + base64.b64encode(both).decode("ascii")


def public_key(private_key: str) -> str:
    """Return the pair's public key as receivers are given it: ``whpk_`` and the base64 of 32 bytes.

    Raise ValueError, without repeating it, for what is no private key.
    """
    return PUBLIC_KEY_PREFIX + base64.b64encode(_decoded(private_key)[_SEED_BYTES:]).decode("ascii")


class KeySigner:
    """Signs many bodies with one private key. The object is as secret as the key itself."""

    __slots__ = ("_key",)

    def __init__(self, private_key: str) -> None:
        """Raise ValueError, without repeating it, for what is no private key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above

        both = _decoded(private_key)
        self._key = Ed25519PrivateKey.from_private_bytes(both[:_SEED_BYTES])
        if self._key.public_key().public_bytes_raw() != both[_SEED_BYTES:]:
            raise ValueError("the private key is not that of its public key")

    def sign_standard(self, message_id: str, timestamp: int, payload: bytes) -> str:
        """Return this key's part of ``webhook-signature``: ``v1a,<base64>``."""
        signature = self._key.sign(standard_content(message_id, timestamp, payload))
        return KEY_SIGNATURE_PREFIX + binascii.b2a_base64(signature, newline=False).decode("ascii")


def _decoded(private_key: str) -> bytes:
    try:
        both = base64.b64decode(private_key.removeprefix(PRIVATE_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        both = b""
    if not private_key.startswith(PRIVATE_KEY_PREFIX) or len(both) != _BYTES:
        raise ValueError("it is no private key")
    return both
