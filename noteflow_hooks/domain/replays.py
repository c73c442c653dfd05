"""Replays, which send many deliveries again at a rate, and the record of each time that one was sent again.

A replay goes through the matching deliveries in final statuses, oldest first, in steps. Each step is one transaction
that also moves the replay's cursor, so a step that is cut off sends nothing twice and leaves nothing out.

``running``   its steps go on; a step that finds no more makes it ``done``, a person makes it ``cancelled``.
``done``      it has come to the end of what matched.
``cancelled`` a person ended it before that; what it had made due is still sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import check_period
from noteflow_hooks.domain.rate import TokenBucket, full_in_s
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.verification import check_verified
from noteflow_hooks.errors import InvalidInputError, LimitError, PreconditionError, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import DeliveryFilter, Position
    from noteflow_hooks.domain.webhooks import WebhookConfig

DEFAULT_RATE_PER_S: Final = 100.0
#: The least and the most that ``rate_per_s`` may be.
RATE_PER_S: Final = (0.1, 10_000.0)
#: How many replays of one workspace may run at once.
RUNNING_LIMIT: Final = 10
#: A step makes at most so many deliveries due.
STEP: Final = 2000
#: The least time between two steps: with less, the steps would cost more than the deliveries they make due.
SPACING: Final = timedelta(seconds=0.2)
#: A replay that stood still catches up by at most what its rate allows in this time.
STANDSTILL: Final = timedelta(seconds=10)
#: The statuses that are sent again where the caller names none: what was not delivered.
UNDELIVERED: Final = frozenset({DeliveryStatus.DEAD, DeliveryStatus.SKIPPED})
NOTHING_TO_SEND: Final = "delivery_id: its event's payload is erased, so it can't be sent again"
_NOTHING_TO_SEND_TO: Final = "delivery_id: its webhook is deleted, so it can't be sent again"


class ReplayState(StrEnum):
    """The states, as they are stored."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Redelivery:
    """The record that a delivery in a final status was made due once more."""

    delivery_id: UUID
    previous_status: DeliveryStatus
    #: How many attempts were on record by then.
    after_attempt: int
    requested_at: datetime
    #: None where a person asked for this very delivery.
    replay_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """A request to send many deliveries again, and how far it has come. Make it with :meth:`create`, which checks."""

    id: UUID
    workspace_id: UUID
    #: Which deliveries; once stored, ``created_before`` is always set.
    criteria: DeliveryFilter
    rate_per_s: float = DEFAULT_RATE_PER_S
    #: Whether it also sends what its endpoint's filter has held back, without asking that again.
    include_filtered: bool = False
    state: ReplayState = ReplayState.RUNNING
    #: How many deliveries matched when it began.
    matched: int = 0
    #: How many it has made due so far.
    sent: int = 0
    #: The last delivery that it made due; None before the first.
    cursor: Position | None = None
    #: The moment up to which its rate is used up. None until it is stored, like ``created_at``.
    paced_at: datetime | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None

    @classmethod
    def create(
        cls,
        workspace_id: UUID,
        criteria: DeliveryFilter,
        *,
        rate_per_s: float = DEFAULT_RATE_PER_S,
        include_filtered: bool = False,
    ) -> Replay:
        """Make a valid replay with a new id, or raise :class:`InvalidInputError` that names the field."""
        check_rate(rate_per_s)
        if include_filtered and criteria.wanted and DeliveryStatus.SKIPPED not in criteria.wanted:
            named = ", ".join(sorted(criteria.wanted))
            raise InvalidInputError(
                "include_filtered", f"must not be set with status {named}; allowed are none, and skipped"
            )
        check_period(criteria.created_after, criteria.created_before, may_be_empty=False)
        return cls(uuid4(), workspace_id, criteria, rate_per_s=rate_per_s, include_filtered=include_filtered)

    @property
    def statuses(self) -> frozenset[DeliveryStatus]:
        """The states from which it sends again."""
        return self.criteria.wanted or UNDELIVERED

    @property
    def takes_filtered(self) -> bool:
        """Whether it takes what filters have held back: where it is told so or, asking anew, where it names those."""
        names_it = DeliveryStatus.SKIPPED in self.criteria.wanted or self.criteria.skip_reason is SkipReason.FILTERED
        return self.include_filtered or names_it

    def begun(self, *, now: datetime) -> Replay:
        """Fix its end: it leaves out deliveries created from now on, since otherwise it might never be done."""
        before = self.criteria.created_before
        criteria = replace(self.criteria, created_before=now if before is None else min(before, now))
        return replace(self, criteria=criteria, paced_at=now, created_at=now)

    def matching(self, count: int) -> Replay:
        """Note how many deliveries match."""
        return replace(self, matched=count)

    def allowed(self, *, now: datetime) -> int:
        """Return how many may be made due now; none within :data:`SPACING` of ``paced_at``."""
        if self.paced_at is None or now - self.paced_at < SPACING:
            return 0
        return self._bucket.available(full_in_s(self._full_at(now), now=now))

    def stepped(self, sent: int, *, cursor: Position | None, more: bool, now: datetime) -> Replay:
        """Note a step that made ``sent`` deliveries due, the last one at ``cursor``; without ``more`` it is done."""
        self._require_running("a step")
        return replace(
            self,
            sent=self.sent + sent,
            cursor=cursor if cursor is not None else self.cursor,
            paced_at=self._bucket.full_at_after(sent, full_at=self._full_at(now), now=now) - STANDSTILL,
            state=ReplayState.RUNNING if more else ReplayState.DONE,
            finished_at=None if more else now,
        )

    def cancelled(self, *, now: datetime) -> Replay:
        """End it before it is done."""
        self._require_running("cancelling")
        return replace(self, state=ReplayState.CANCELLED, finished_at=now)

    @property
    def _bucket(self) -> TokenBucket:
        """The bucket of its rate; a full one holds what it may catch up after it stood still."""
        return TokenBucket(self.rate_per_s, burst=self.rate_per_s * STANDSTILL.total_seconds())

    def _full_at(self, now: datetime) -> datetime:
        """Return when that bucket is full. At ``paced_at`` it is empty, and it fills in :data:`STANDSTILL`."""
        return (self.paced_at if self.paced_at is not None else now) + STANDSTILL

    def _require_running(self, what: str) -> None:
        if self.state is not ReplayState.RUNNING:
            raise PreconditionError(
                f"replay {self.id} is {self.state}; {what} needs it to be running", reason=Reason.REPLAY_NOT_RUNNING
            )


def check_running(count: int) -> None:
    """Raise :class:`LimitError` if a workspace with ``count`` running replays may not begin another one."""
    if count >= RUNNING_LIMIT:
        raise LimitError(
            f"{count} replays run in this workspace, and at most {RUNNING_LIMIT} may; cancel one, or wait for its end",
            reason=Reason.TOO_MANY_REPLAYS,
        )


def check_sending_again(webhook: WebhookConfig, event: Event) -> None:
    """Raise :class:`PreconditionError` if a delivery of the event to the endpoint could not go out."""
    if webhook.deleted_at is not None:
        raise PreconditionError(_NOTHING_TO_SEND_TO, reason=Reason.WEBHOOK_DELETED)
    if event.payload_erased_at is not None:
        raise PreconditionError(NOTHING_TO_SEND, reason=Reason.PAYLOAD_ERASED)
    check_enabled(webhook)
    check_verified(webhook, what="send again")


def check_enabled(webhook: WebhookConfig) -> None:
    """Raise :class:`PreconditionError`, which says what to do, if the endpoint is disabled."""
    if not webhook.enabled:
        reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
        raise PreconditionError(
            f"webhook {webhook.id} is disabled{reason}; enable it, then send again", reason=Reason.WEBHOOK_DISABLED
        )


def check_rate(rate_per_s: float) -> float:
    """Return the rate, or raise InvalidInputError with the bounds."""
    least, most = RATE_PER_S
    if not (math.isfinite(rate_per_s) and least <= rate_per_s <= most):
        raise InvalidInputError("rate_per_s", f"is {rate_per_s:g}; allowed are {least:g} to {most:g}")
    return rate_per_s
