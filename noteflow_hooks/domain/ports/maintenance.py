"""What maintenance needs of the store: to remove what is old, and to know when each periodic task last ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from noteflow_hooks.domain.paging import Position


#: The names of two tasks in :class:`TaskRuns`: between them they find whatever waits.
RELAY: Final = "relay"
SWEEP: Final = "sweep"
#: And of the one that removes what is old.
PURGE: Final = "purge"
#: All tasks whose runs are on record.
TASKS: Final = (RELAY, SWEEP, PURGE)


class RetentionStore(Protocol):
    """Removes what is old: each method is one short transaction, and safe to run beside any other.

    A call examines about ``limit`` rows, oldest first, from behind ``after``, the last row that the call before
    examined. *Settled* are deliveries in a final status, and events that are dispatched and whose deliveries all are.
    Other rows stay, and so do those that somebody else has locked; a later call finds them. Events and attempts stay
    until the roll-ups have counted them, which is done first.
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

    def remove_batches(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove batches that were made so long ago and that no delivery names."""
        ...

    def remove_requests(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove requests with request ids that were made so long ago."""
        ...

    def remove_mails(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove mails that were written so long ago, sent or not."""
        ...

    def remove_header_forms(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove what attempts' headers have in common, where no attempt has used it for so long."""
        ...

    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove endpoints that were deleted so long ago, once nothing that names them is left."""
        ...

    def remove_minutes(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove roll-ups of minutes that began so long ago."""
        ...

    def remove_hours(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove roll-ups of hours that began so long ago."""
        ...

    def remove_audit_entries(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Remove entries of the audit trail that are so old."""
        ...


class TaskRuns(Protocol):
    """When the tasks that beat starts last ran to their end, by the store's clock."""

    def note(self, name: str, *, took: timedelta) -> None:
        """Record that the task has just ended, and how long it took. A crash of the store may lose that."""
        ...

    def ages(self) -> Mapping[str, timedelta]:
        """Return how long ago each task last ended, by its name; one that never did is left out."""
        ...


@dataclass(frozen=True, slots=True)
class PurgeBatch:
    """What came of one call of retention."""

    #: How many rows were erased or removed; what lies below a removed row is not counted.
    rows: int
    #: The last row that was examined, with the moment that its age is counted from; None where no more are old enough.
    cursor: Position | None


@dataclass(frozen=True, slots=True)
class Signs:
    """What the store knows of those who work on it."""

    #: The time by the store's clock.
    now: datetime
    #: When relay and sweep last ran to their end; None for never.
    relay_at: datetime | None
    sweep_at: datetime | None
    #: Since when the event that has waited longest waits to be dispatched; None where none does.
    event_since: datetime | None
    #: Since when the delivery that has been due longest is due and not taken; None where none is.
    delivery_since: datetime | None
