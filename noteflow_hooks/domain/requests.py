"""Requests with an id that their caller chose: one that is repeated within a day gets the first one's answer again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from noteflow_hooks.errors import InvalidInputError

#: For how long a request id is remembered.
REMEMBERED: Final = timedelta(hours=24)
_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """A request that may be repeated. Its answer is not kept, only what is needed to read it again."""

    workspace_id: UUID
    request_id: str
    #: The name of the RPC.
    method: str
    #: The token that made the first call. No other token is given a secret again.
    token_id: UUID
    #: A digest of what the request asks for. Secrets go into it through a function that is slow on purpose.
    digest: bytes
    #: The meeting, endpoint or event that it made or changed; None until that is known.
    target_id: UUID | None = None
    #: The secret of the endpoint that it made, by id, and that secret's last characters.
    secret_id: UUID | None = None
    secret_hint: str = ""
    #: When it was made, by the store's clock; None before it is stored.
    created_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """The key under which it is stored."""
        return uuid5(self.workspace_id, self.request_id)

    def is_repeated_by(self, other: NamedRequest) -> bool:
        """Tell whether the other asks for the same."""
        return (self.method, self.digest) == (other.method, other.digest)


def check_request_id(request_id: str) -> str:
    """Return the id, or raise InvalidInputError."""
    if len(request_id) not in range(1, _LIMIT + 1) or not all("!" <= each <= "~" for each in request_id):
        raise InvalidInputError("request_id", f"must be 1 to {_LIMIT} visible ASCII characters")
    return request_id
