"""Filters and pages of lists: which rows are asked for, and where a page ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookDelivery

#: How many rows a page has unless the caller says, and the most that it may have.
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended, newest first: the last row's ``created_at`` and id."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a list is asked for."""

    #: How many rows it shows.
    size: int = DEFAULT_PAGE_SIZE
    #: Where the page before ended; None for the first page.
    after: Position | None = None

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


def check_page_size(size: int) -> int:
    """Return how many rows to show, the default for 0; raise InvalidInputError for a number that is not allowed."""
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise InvalidInputError(
            "page_size", f"is {size}; allowed are 1 to {MAX_PAGE_SIZE}, and 0 for {DEFAULT_PAGE_SIZE}"
        )
    return size or DEFAULT_PAGE_SIZE
