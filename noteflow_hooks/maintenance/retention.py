"""What is old goes, a little at a time: payloads first, then attempts, then events with all below them.

What is not settled never goes. Each batch is a transaction of its own. A call is one batch of each kind, and tells how
long to rest until the next one, longer than it took: so however much there is to remove, delivering goes on at its
pace. The rest is the caller's: a worker has better use for a slot than to sleep in it. Any number of calls may run at
once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from noteflow_hooks.domain.mails import MAILS_KEPT
from noteflow_hooks.domain.requests import REMEMBERED
from noteflow_hooks.domain.stats import HOURS_KEPT, MINUTES_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.paging import Position
    from noteflow_hooks.domain.ports.maintenance import PurgeBatch, RetentionStore

log = logging.getLogger(__name__)

#: How many rows a batch looks at.
BATCH: Final = 1000
#: How much longer than the attempts that name them: a worker says but once a day that it uses one.
_FORMS_LONGER: Final = timedelta(days=2)
#: How many times as long as a call took is rested after it.
REST: Final = 5.0


@dataclass(frozen=True, slots=True)
class Periods:
    """For how long what is settled is kept."""

    #: Events, with their deliveries and all below them; replays that ended, and deleted endpoints.
    events: timedelta = timedelta(days=90)
    #: The events' payloads, and what receivers answered to them; never longer than the events.
    payloads: timedelta = timedelta(days=30)
    #: The deliveries' attempts; never longer than the events.
    attempts: timedelta = timedelta(days=30)
    #: The entries of the audit trail.
    audit: timedelta = timedelta(days=365)


class Purged(Counter[str]):
    """How many rows of each kind a call erased or removed."""

    #: Whether there may be more that is old enough.
    more: bool = False
    #: How long the call took, and how long to rest before the next one.
    took: timedelta = timedelta(0)
    rest: timedelta = timedelta(0)

    def __str__(self) -> str:
        """Return the counts in words: ``250 payloads, 200 events``."""
        return ", ".join(f"{count} {name}" for name, count in self.items() if count) or "nothing is old enough"


class PurgeOneBatch(Protocol):
    """One of the methods of :class:`noteflow_hooks.domain.ports.maintenance.RetentionStore`."""

    def __call__(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        """Do one batch."""
        ...


class _Step(NamedTuple):
    name: str
    purge: PurgeOneBatch
    period: timedelta


class RetentionService:
    """Removes what is old; one for a worker process. It remembers how far it has come from call to call."""

    def __init__(
        self,
        store: RetentionStore,
        periods: Periods,
        *,
        batch: int = BATCH,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``batch`` is how many rows are examined in a transaction."""
        self._steps = (
            # Only what has no payload is removed, so a longer period for payloads counts for nothing.
            _Step("payloads", store.erase_payloads, min(periods.payloads, periods.events)),
            _Step("attempts", store.remove_attempts, periods.attempts),
            _Step("events", store.remove_events, periods.events),
            _Step("batches", store.remove_batches, periods.events),
            _Step("replays", store.remove_replays, periods.events),
            _Step("request ids", store.remove_requests, REMEMBERED),
            _Step("mails", store.remove_mails, MAILS_KEPT),
            _Step("header forms", store.remove_header_forms, periods.attempts + _FORMS_LONGER),
            _Step("webhooks", store.remove_webhooks, periods.events),
            _Step("minutes of figures", store.remove_minutes, MINUTES_KEPT),
            _Step("hours of figures", store.remove_hours, HOURS_KEPT),
            _Step("audit entries", store.remove_audit_entries, periods.audit),
        )
        self._came_to: dict[str, Position | None] = {}
        self._batch = batch
        self._monotonic = monotonic

    def purge(self) -> Purged:
        """Do a batch of each kind, so that much of one keeps no other waiting; return what was done."""
        done, began = Purged(), self._monotonic()
        for step in self._steps:
            batch = step.purge(step.period, limit=self._batch, after=self._came_to.get(step.name))
            done[step.name] += batch.rows
            self._came_to[step.name] = batch.cursor
        done.more = any(self._came_to.values())
        done.took = timedelta(seconds=self._monotonic() - began)
        done.rest = REST * done.took
        if done.total():
            log.info("retention: %s", done)
        return done
