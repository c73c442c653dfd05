"""The codes that contacts give back: each follows from the endpoint, the address and the moment, under our keys.

So none is stored, and only who reads the address's mail, or has the keys, knows it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.domain.ports.mails import ContactCodes
from noteflow_hooks.errors import SecretUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

#: Crockford's: no letter that is taken for a digit.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 12
_GROUP: Final = 4
_USE: Final = b"noteflow-hooks contact confirmation 1\0"
#: What people read into a code, and what it is.
_READ_AS: Final = str.maketrans("OIL", "011")


class KeyedContactCodes(ContactCodes):
    """Codes under keys: the first one's are sent, all of them count."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys of ``SECRET_KEYS``; none of them can be found out from a code."""
        self._keys = tuple(keys)

    @override
    def code(self, webhook_id: UUID, address: str, asked_at: datetime) -> str:
        if not self._keys:
            raise SecretUnavailableError("contact: no code can be made, NOTEFLOW_HOOKS_SECRET_KEYS names no key")
        plain = _code(self._keys[0], webhook_id, address, asked_at)
        return "-".join(plain[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))

    @override
    def is_right(self, typed: str, webhook_id: UUID, address: str, asked_at: datetime) -> bool:
        text = "".join(each for each in typed.upper() if each.isascii() and each.isalnum()).translate(_READ_AS)
        found = [
            hmac.compare_digest(_code(each, webhook_id, address, asked_at).encode(), text.encode())
            for each in self._keys
        ]
        return any(found)


def _code(key: bytes, webhook_id: UUID, address: str, asked_at: datetime) -> str:
    about = _USE + webhook_id.bytes + str(round(asked_at.timestamp() * 1_000_000)).encode() + b"\0" + address.encode()
    number = int.from_bytes(hmac.digest(key, about, hashlib.sha256))
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
