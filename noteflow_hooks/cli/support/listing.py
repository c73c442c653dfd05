"""What a List call lists, page after page, and how much there is beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.cli.support.remote import shown
from noteflow_hooks.domain.paging import MAX_PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    class Paged(Protocol):
        """A List request."""

        page_size: int
        page_token: str


#: What only GetDelivery's answer says of a delivery: an empty list of attempts would say that there are none.
DELIVERY_DETAILS: Final = ("attempts", "redeliveries")
#: A server counts so far.
_COUNTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Listing:
    """The newest rows of a list."""

    rows: Sequence[dict[str, Any]]
    #: Whether there are others.
    has_more: bool = False
    #: How many there are, as far as the server counts; 0 where nobody asked it.
    total: int = 0

    @property
    def how_many(self) -> str:
        """How many there are, in words."""
        if not self.total:
            return "more"
        return f"more than {_COUNTED:,}" if self.total >= _COUNTED else f"{self.total:,}"


def listed(call: Callable[[Any], Any], request: Paged, *, field: str, limit: int | None = None) -> Listing:
    """Return what the List call lists under ``field``, newest first, up to ``limit``, without details of deliveries.

    With a limit the server is asked how many there are.
    """
    rows: list[dict[str, Any]] = []
    total = 0
    if limit is not None and "with_total" in request.DESCRIPTOR.fields_by_name:  # type: ignore[attr-defined]  # a message's
        request.with_total = True  # type: ignore[attr-defined]  # as above
    while True:
        request.page_size = MAX_PAGE_SIZE if limit is None else min(MAX_PAGE_SIZE, limit - len(rows))
        page = call(request)
        total = total or getattr(page, "total", 0)
        rows += (without_details(shown(each)) for each in getattr(page, field))
        request.page_token = page.next_page_token
        if not page.next_page_token or (limit is not None and len(rows) >= limit):
            return Listing(rows, has_more=bool(page.next_page_token), total=total)
        if hasattr(request, "with_total"):
            request.with_total = False


def without_details(row: dict[str, Any]) -> dict[str, Any]:
    """Return a delivery without what only GetDelivery fills in."""
    return {name: value for name, value in row.items() if name not in DELIVERY_DETAILS}
