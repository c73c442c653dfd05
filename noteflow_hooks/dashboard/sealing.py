"""What goes to the browser and comes back is sealed: nobody else can read it, make it, or pass one kind for another."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONCE_BYTES: Final = 12
#: A cookie has up to 4,096 characters; what is longer is not ours, and is not looked at.
_LONGEST: Final = 4096


class Sealer:
    """Seals values by one secret; another secret opens nothing of them."""

    def __init__(self, secret: str) -> None:
        """Take any text that cannot be guessed."""
        self._box = AESGCM(_key(secret, "seal"))
        self._marking = _key(secret, "mark")

    def seal(self, kind: str, value: Mapping[str, Any]) -> str:
        """Return the value as text that a cookie may hold; it opens as that kind alone."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._box.encrypt(nonce, json.dumps(value).encode(), kind.encode())
        # Without padding, which would have the cookie quoted.
        return base64.urlsafe_b64encode(nonce + sealed).decode("ascii").rstrip("=")

    def opened(self, kind: str, text: str) -> dict[str, Any] | None:
        """Return what was sealed; None for whatever was not sealed here, by this secret, as that kind."""
        if len(text) > _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            value: dict[str, Any] = json.loads(
                self._box.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], kind.encode())
            )
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return value

    def mark(self, kind: str, text: str) -> str:
        """Return what only we can make of the text."""
        return hmac.digest(self._marking, f"{kind}\n{text}".encode(), "sha256").hex()

    def is_mark(self, mark: str, *, kind: str, text: str) -> bool:
        """Tell, in constant time, whether it is the text's mark."""
        return hmac.compare_digest(mark.encode(), self.mark(kind, text).encode())


def _key(secret: str, use: str) -> bytes:
    return hashlib.sha256(f"noteflow-hooks dashboard, {use}\n{secret}".encode()).digest()
