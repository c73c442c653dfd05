"""The endpoints of a run: of ten, one gets batches, one the order of meetings, and one is behind a filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How many meetings the events of a run are of, so that each has many.
MEETINGS: Final = 40
#: Every so manieth event is what the filter holds back.
_HELD_BACK: Final = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a run, by what is asked for when it is registered."""

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ordered(self) -> bool:
        """Whether each of its events waits for the earlier ones of its meeting."""
        return "ordering" in self.options

    @property
    def is_batched(self) -> bool:
        """Whether several of its events share a request."""
        return "batch_max" in self.options

    def wants(self, number: int) -> bool:
        """Tell whether it is to be sent the event of that number."""
        return "filter" not in self.options or number % _HELD_BACK != 0


ENDPOINTS: Final = (
    *(Endpoint(f"/plain-{number}") for number in range(1, 8)),
    Endpoint("/batched", {"batch_max": 20, "batch_wait_ms": 100}),
    Endpoint("/ordered", {"ordering": "per_meeting"}),
    Endpoint("/filtered", {"filter": "!data.title.endsWith('0')"}),
)
BY_PATH: Final = {each.path: each for each in ENDPOINTS}


def meeting_of(number: int) -> str:
    """Return the meeting that the event of that number is of."""
    return f"meeting-{number % MEETINGS}"


def title_of(number: int) -> str:
    """Return the title by which the filter tells the event."""
    return f"Event {number}"
