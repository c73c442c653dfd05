"""Filters and pages of lists: which rows are asked for, and where a page ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final
from uuid import UUID

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.attempts import ErrorKind
    from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookDelivery
    from noteflow_hooks.domain.health.endpoint_state import EndpointState
    from noteflow_hooks.domain.meetings import MeetingState
    from noteflow_hooks.domain.skipping import SkipReason

#: How many rows a page has unless the caller says, and the most that it may have.
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500
#: So many of a workspace's newest events are looked through where some of them are wanted.
NEWEST_EVENTS: Final = 10_000
#: A list's total is counted up to this number.
MAX_TOTAL: Final = 10_000

_PREFIX: Final = re.compile(r"[0-9a-f-]{1,36}")
#: Where an id's hyphens stand.
_HYPHENS: Final = (8, 13, 18, 23)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended, newest first: the last row's ``created_at`` and id."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class IdRange:
    """The ids that begin with the same prefix, from ``first`` to ``last``, both included."""

    first: UUID
    last: UUID

    @classmethod
    def of_prefix(cls, prefix: str) -> IdRange:
        """Return the ids whose text has the prefix; raise InvalidInputError if no id can have it."""
        hyphens = tuple(at for at, character in enumerate(prefix) if character == "-")
        if not _PREFIX.fullmatch(prefix) or hyphens != tuple(at for at in _HYPHENS if at < len(prefix)):
            raise InvalidInputError("id_prefix", "must be how an id begins: 1 to 36 of 0-9 and a-f, with its hyphens")
        digits = prefix.replace("-", "")
        return cls(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))

    @property
    def prefix(self) -> str:
        """How all of them begin, with the hyphen that follows where one does."""
        pairs = zip(str(self.first), str(self.last), strict=True)
        return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def __contains__(self, identifier: UUID) -> bool:
        return self.first <= identifier <= self.last


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a list is asked for."""

    #: How many rows it shows.
    size: int = DEFAULT_PAGE_SIZE
    #: Where the page before ended; None for the first page.
    after: Position | None = None
    #: Only rows with these ids; None for all.
    ids: IdRange | None = None
    #: Whether to count the rows of all pages together, up to :data:`MAX_TOTAL`.
    counts: bool = False

    @property
    def limit(self) -> int:
        """How many rows to read: one more than are shown tells whether there is another page."""
        return self.size + 1


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of a workspace to list; None matches all. ``created_at`` must lie in [after, before)."""

    webhook_id: UUID | None = None
    status: DeliveryStatus | None = None
    event_type: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    #: Several statuses of which each will do, ``status`` too; empty for all.
    statuses: frozenset[DeliveryStatus] = frozenset()
    event_id: UUID | None = None
    meeting_id: str | None = None
    #: The last attempt's, like ``status_code``.
    error_kind: ErrorKind | None = None
    status_code: int | None = None
    skip_reason: SkipReason | None = None
    #: Whether it waits because its endpoint may have no more now. Not of replays: what is settled never does.
    throttled: bool | None = None
    #: Only of replays: lists have it in their :class:`Page`.
    ids: IdRange | None = None

    @property
    def wanted(self) -> frozenset[DeliveryStatus]:
        """The statuses of which each will do; empty for all."""
        return self.statuses if self.status is None else self.statuses | {self.status}

    @property
    def is_narrowed(self) -> bool:
        """Whether it names what releases before 0030 of the schema know nothing of."""
        newer = (self.event_id, self.meeting_id, self.error_kind, self.status_code, self.skip_reason, self.ids)
        return bool(self.statuses) or any(each is not None for each in newer)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of a workspace to list; None matches all. ``created_at`` must lie in [after, before)."""

    event_type: str | None = None
    meeting_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


#: The filter that matches all events.
ALL_EVENTS: Final = EventFilter()


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    """Which endpoints of a workspace to list; None matches all."""

    state: EndpointState | None = None
    #: What stands in its name or in its URL's host, in upper or lower case. Never looked for in the rest of a URL.
    text: str | None = None


#: The filter that matches all endpoints.
ALL_WEBHOOKS: Final = WebhookFilter()


@dataclass(frozen=True, slots=True)
class MeetingFilter:
    """Which meetings of a workspace to list; None matches all. ``created_at`` must lie in [after, before)."""

    state: MeetingState | None = None
    #: What stands in its title, in upper or lower case.
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


#: The filter that matches all meetings.
ALL_MEETINGS: Final = MeetingFilter()


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that was accepted, and an endpoint that does not have it."""

    event_id: UUID
    event_type: str
    #: When the event was stored or, if there is a delivery, when that was made.
    created_at: datetime
    #: None while the event waits to be matched with endpoints, even if some of them have been matched.
    delivery: WebhookDelivery | None = None

    @property
    def id(self) -> UUID:
        """The id of the list's entry: the delivery's, or else the event's."""
        return self.event_id if self.delivery is None else self.delivery.id


@dataclass(frozen=True, slots=True)
class DeliveryChange:
    """A delivery that was made, or of which an attempt was recorded, as it is now, with what filters ask of it."""

    delivery: WebhookDelivery
    workspace_id: UUID
    #: Its event's.
    meeting_id: str | None


def check_period(after: datetime | None, before: datetime | None, *, may_be_empty: bool) -> None:
    """Raise InvalidInputError for a period that ends before it begins or, unless it may be empty, where it begins."""
    if after is None or before is None:
        return
    if after > before or (after == before and not may_be_empty):
        raise InvalidInputError("created_after", "must be before created_before")


def check_page_size(size: int, *, most: int = MAX_PAGE_SIZE) -> int:
    """Return how many rows to show, the default for 0; raise InvalidInputError for a number that is not allowed."""
    if not 0 <= size <= most:
        raise InvalidInputError("page_size", f"is {size}; allowed are 1 to {most}, and 0 for {DEFAULT_PAGE_SIZE}")
    return size or DEFAULT_PAGE_SIZE
