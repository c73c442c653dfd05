"""What an endpoint's requests are signed with: its secrets, its key pair, or both of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.key_pairs import public_key

if TYPE_CHECKING:
    from datetime import datetime

W = TypeVar("W", bound=StrEnum)


class Signing(StrEnum):
    """Which signatures go out."""

    #: By the secrets; an endpoint without one is unsigned.
    HMAC = "hmac"
    #: By the key pair alone.
    ED25519 = "ed25519"
    #: By the secrets, and by the key pair.
    BOTH = "both"

    @property
    def uses_secret(self) -> bool:
        """Whether the secrets sign."""
        return self is not Signing.ED25519

    @property
    def uses_key(self) -> bool:
        """Whether the key pair signs."""
        return self is not Signing.HMAC


class Rotated(StrEnum):
    """What a rotation makes anew."""

    SECRET = "secret"  # noqa: S105 - a word, no secret
    KEY = "key"
    BOTH = "both"


#: What is rotated where the caller does not say: whatever signs.
USED = {Signing.HMAC: Rotated.SECRET, Signing.ED25519: Rotated.KEY, Signing.BOTH: Rotated.BOTH}


@dataclass(frozen=True, slots=True)
class PreviousKey:
    """A key pair that was replaced by rotation, and goes on signing until it expires."""

    private_key: str = field(repr=False)
    expires_at: datetime

    @property
    def public_key(self) -> str:
        """What receivers check its signatures by."""
        return public_key(self.private_key)


def check_signing(value: str) -> Signing:
    """Return what signs, or raise :class:`InvalidInputError` with what is allowed."""
    return _one_of(Signing, "signing", value)


def check_what(value: str) -> Rotated:
    """Return what is to be rotated, or raise :class:`InvalidInputError` with what is allowed."""
    return _one_of(Rotated, "what", value)


def _one_of(kind: type[W], name: str, value: str) -> W:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(kind)
        raise InvalidInputError(name, f"{value[:100]!r} is not allowed; allowed: {allowed}") from None
