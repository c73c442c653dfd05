"""Workspaces and API tokens. A token is shown once, when it is made; the store keeps its hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: What every token starts with, so that a leaked one is recognised by scanners.
TOKEN_PREFIX: Final = "nfh_"  # noqa: S105 - a prefix, no secret


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant: meetings, endpoints and tokens belong to exactly one."""

    id: UUID
    name: str
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """The record of a token; the token itself is nowhere."""

    id: UUID
    workspace_id: UUID
    name: str
    token_hash: bytes = field(repr=False)
    #: Its last four characters, to tell tokens apart in a list.
    hint: str = ""
    created_at: datetime | None = None
    revoked_at: datetime | None = None


def generate_token() -> str:
    """Make a new token: ``nfh_`` and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """Return what the store keeps of a token. A plain SHA-256: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
