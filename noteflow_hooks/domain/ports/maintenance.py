"""What looks after what is stored, and after the tasks that do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from noteflow_hooks.domain.paging import Position


#: The names under which :class:`TaskRuns` has the two tasks that find whatever waits.
RELAY: Final = "relay"
SWEEP: Final = "sweep"


class RetentionStore(Protocol):
    """What goes once it is old: each method is one short transaction, and safe to run beside any other.

    A call examines about ``limit`` rows, oldest first, behind ``after``: the last one that the call before it examined.
    What is not settled stays, and so does what somebody else has locked; a later call finds it.
    """

    def erase_payloads(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Erase the payloads of settled events that were stored so long ago, and what receivers answered to them."""
        ...

    def remove_attempts(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove attempts that were made so long ago, of deliveries that are settled."""
        ...

    def remove_events(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove settled events that were stored so long ago and whose payloads are erased, with all below them."""
        ...

    def remove_replays(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove replays that ended so long ago, once what they sent again is gone."""
        ...

    def remove_requests(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Forget requests under ids that were made so long ago."""
        ...

    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove endpoints that were deleted so long ago, once nothing that names them is left."""
        ...


class TaskRuns(Protocol):
    """When the tasks that beat calls last ran to their end, by the store's clock."""

    def note(self, name: str, *, took: timedelta) -> None:
        """Record that the task of that name has just run to its end, in so long. A crash of the store may lose it."""
        ...

    def ages(self) -> Mapping[str, timedelta]:
        """Return how long ago each task last did, by its name; one that never did is not there."""
        ...


@dataclass(frozen=True, slots=True)
class PurgeBatch:
    """What came of one call of retention."""

    #: How many rows were erased or removed; what lies below a removed row is not counted.
    rows: int
    #: The last row that was examined, with the moment that its age is counted from; None where no more are old enough.
    cursor: Position | None
