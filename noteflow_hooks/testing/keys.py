"""Signatures by a key pair in plain Python, for keys that protect nothing: the time they take tells what the key is."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

# The arithmetic is there for checking; a receiver may copy that module, so it does not sign.
from noteflow_hooks.signing import (
    _ORDER,
    KEY_SIGNATURE_PREFIX,
    PRIVATE_KEY_PREFIX,
    PUBLIC_KEY_PREFIX,
    _encoded,
    _point,
    _times,
    standard_content,
)

_BASE: Final = _point(bytes([0x58]) + bytes([0x66]) * 31)


def sign_by_key(message_id: str, timestamp: int, payload: bytes, private_key: str) -> str:
    """Return the part of ``webhook-signature`` by a private key, ``whsk_…``, as RFC 8032 has it in 5.1.6."""
    seed = _seed(private_key)
    content = standard_content(message_id, timestamp, payload)
    scalar, prefix = _expanded(seed)
    once = _number(prefix + content)
    nonce = _multiple(once)
    signature = once + _number(nonce + _multiple(scalar) + content) * scalar
    return KEY_SIGNATURE_PREFIX + _text(nonce + (signature % _ORDER).to_bytes(32, "little"))


def public_key_of(private_key: str) -> str:
    """Return the public key of a private one, ``whpk_…``."""
    return PUBLIC_KEY_PREFIX + _text(_multiple(_expanded(_seed(private_key))[0]))


def _seed(private_key: str) -> bytes:
    return base64.b64decode(private_key.removeprefix(PRIVATE_KEY_PREFIX))[:32]


def _expanded(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return scalar, digest[32:]


def _number(text: bytes) -> int:
    return int.from_bytes(hashlib.sha512(text).digest(), "little") % _ORDER


def _multiple(number: int) -> bytes:
    assert _BASE is not None  # noqa: S101 - a constant of the curve
    return _encoded(_times(number, _BASE))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
