"""Workspaces and API tokens. A token is shown once, when it is made; the store keeps its hash.

What a token may do is the set of its scopes. No scope implies another: ``manage`` alone does not allow reading.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: What every token starts with, so that a leaked one is recognised by scanners.
TOKEN_PREFIX: Final = "nfh_"  # noqa: S105 - a prefix, no secret
#: A token's use is recorded at most once in this time, which is enough to find tokens that nobody uses.
USE_NOTED_EVERY: Final = timedelta(minutes=1)


class Scope(StrEnum):
    """One thing that a token may do."""

    #: Change endpoints, see their new secrets, send again, erase, and see who has done so.
    MANAGE = "manage"
    #: Change meetings and record events.
    PUBLISH = "publish"
    #: Get and list.
    READ = "read"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant: meetings, endpoints and tokens belong to exactly one."""

    id: UUID
    name: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """The record of a token; the token itself is not stored. One without scopes is refused: it would be of no use."""

    id: UUID
    workspace_id: UUID
    name: str
    token_hash: bytes = field(repr=False)
    #: Its last four characters, to tell tokens apart in a list.
    hint: str = ""
    scopes: frozenset[Scope] = ALL_SCOPES
    #: When it expires; None means never.
    expires_at: datetime | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    #: When it was last used, to within :data:`USE_NOTED_EVERY`.
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.scopes:
            raise InvalidInputError("scopes", f"must not be empty; allowed: {', '.join(sorted(ALL_SCOPES))}")

    def live_at(self, moment: datetime) -> bool:
        """Tell whether the token is valid at that moment: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > moment)

    def use_is_due(self, moment: datetime) -> bool:
        """Tell whether a use at that moment is to be recorded: the last record is old enough."""
        return self.last_used_at is None or self.last_used_at <= moment - USE_NOTED_EVERY


def generate_token() -> str:
    """Make a new token: ``nfh_`` and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """Return what the store keeps of a token. A plain SHA-256: 256 random bits can't be guessed.

    Tokens are looked up by this hash. How long a look-up in an index or a dict takes depends on how many of the first
    bytes match, but that helps nobody to find a token: a hash with chosen first bytes can only be found by trying
    tokens, and knowing one more byte of a stored hash says nothing about the token.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
