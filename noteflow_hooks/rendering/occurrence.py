"""What a renderer is given, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: What a payload is sent as by itself.
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """An event as it goes to one endpoint. Two that are equal are rendered to the same bytes."""

    event_id: UUID
    event_type: str
    workspace_id: UUID
    #: None for an event that is about no meeting.
    meeting_id: str | None
    #: When it happened; aware.
    occurred_at: datetime
    #: The payload's bytes as they are stored.
    payload: bytes = field(repr=False)
    #: Its place among its meeting's events; None where it has none.
    sequence: int | None = None
    #: The version of its type's payload that is sent.
    payload_version: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent: the body, what it is, and the headers that only its format has."""

    body: bytes = field(repr=False)
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


#: Makes the request of an event: by what it is given alone, and by nothing that may be another at the next attempt. It
#: raises ValueError, without a word of the payload, where nothing can be made of it.
Renderer: TypeAlias = Callable[[Occurrence], Rendered]
