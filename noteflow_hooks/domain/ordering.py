"""The order of a meeting's events at one endpoint: which delivery is next, which wait, and what receivers are told.

Of each meeting one delivery at a time, its *head*, may go: the one with the lowest number that is not settled. The
others are *blocked*: no scheduling slot looks at them until their meeting's head has gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import OnDead
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.skipping import GIVEN_UP, SkipReason
from noteflow_hooks.errors import InvalidTransitionError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery

#: A blocked delivery is due so much later than it would be: behind all that a slot looks at, in the same order.
BLOCKED_FOR: Final = timedelta(days=365_250)
#: What is due from then on is blocked.
BLOCKED_FROM: Final = datetime(2900, 1, 1, tzinfo=UTC)
#: How soon a meeting is looked at again, where somebody else was busy with what it waits for.
LOOK_AGAIN: Final = timedelta(milliseconds=50)


def is_blocked(delivery: WebhookDelivery) -> bool:
    """Tell whether it waits for an earlier one of its meeting: no slot looks at it until that has gone."""
    due_at = delivery.next_attempt_at
    return delivery.held and due_at is not None and due_at >= BLOCKED_FROM


def ordered(delivery: WebhookDelivery, meeting_id: str, sequence: int) -> WebhookDelivery:
    """Put a delivery on record as one of a meeting's order."""
    return delivery._replace(ordered_meeting=meeting_id, sequence=sequence)


def blocked(delivery: WebhookDelivery) -> WebhookDelivery:
    """Have a delivery that waits in its endpoint's order wait for an earlier one."""
    if delivery.next_attempt_at is None or is_blocked(delivery):
        return delivery
    return delivery._replace(next_attempt_at=delivery.next_attempt_at + BLOCKED_FOR)


def offered(delivery: WebhookDelivery) -> WebhookDelivery:
    """Have a delivery, which is its meeting's head, wait no longer."""
    if delivery.next_attempt_at is None or not is_blocked(delivery):
        return delivery
    return delivery._replace(next_attempt_at=delivery.next_attempt_at - BLOCKED_FOR)


def given_up(delivery: WebhookDelivery) -> WebhookDelivery:
    """End a delivery that is pending or dead, as a person wants it: what waits for it goes on."""
    if delivery.status is DeliveryStatus.PENDING:
        return delivery.skipped(GIVEN_UP)
    if delivery.status is not DeliveryStatus.DEAD:
        allowed = f"{DeliveryStatus.DEAD}, {DeliveryStatus.PENDING}"
        raise InvalidTransitionError(
            f"delivery {delivery.id} is {delivery.status}; this needs it to be one of: {allowed}"
        )
    message = f"{GIVEN_UP.message}: {delivery.error_message}"
    return delivery._replace(status=DeliveryStatus.SKIPPED, error_message=message, skip_reason=GIVEN_UP.reason)


def rank_of(delivery: WebhookDelivery, sequence: int | None) -> Rank | None:
    """Return where a claimed delivery stands, whose event has that number."""
    return None if sequence is None else Rank(sequence, delivery.gap or 0, is_late=bool(delivery.out_of_order))


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a meeting, with its delivery to one endpoint where it has one."""

    sequence: int
    event_id: UUID
    is_dispatched: bool
    delivery_id: UUID | None = None
    status: DeliveryStatus | None = None
    skip_reason: SkipReason | None = None
    attempt_count: int = 0
    #: Whether a scheduling slot may claim it.
    is_claimable: bool = False
    #: Whether it is on record as one of an order, so that its end lets the next one go.
    is_marked: bool = False
    #: Since when it is due, or would be if it had not to wait for earlier ones.
    due_at: datetime | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it is not settled, or not dispatched."""
        if self.status is None:
            return not self.is_dispatched
        return self.status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING)


@dataclass(frozen=True, slots=True)
class MeetingOrder:
    """How far an endpoint is with a meeting."""

    #: All up to this number are settled, or are not for this endpoint.
    through: int = 0
    #: The highest number that was sent.
    sent: int = 0
    #: How many were given up since the last one that the endpoint got.
    gap: int = 0
    #: The dead delivery that holds what follows.
    stopped_by: UUID | None = None

    def rank(self, step: Step) -> Rank:
        """Return what a request for that one tells."""
        return Rank(step.sequence, gap=self.gap, is_late=self.sent > step.sequence)

    def claimed(self, step: Step) -> MeetingOrder:
        """Note that it is sent."""
        return replace(self, sent=max(self.sent, step.sequence))

    def rewound(self, through: int) -> MeetingOrder:
        """Go back, since an earlier one is sent again; ``through`` is behind one that the endpoint got, or at 0."""
        return replace(self, through=min(self.through, through), gap=0, stopped_by=None)

    def walked(self, steps: Iterable[Step], on_dead: OnDead) -> Walked:
        """Go through what follows, up to what must end before anything later goes."""
        order = replace(self, stopped_by=None)
        for step in steps:
            if step.status is DeliveryStatus.PENDING and step.is_claimable:
                return Walked(order, head=step)
            if step.is_under_way:
                return Walked(order, blocker=step)
            if on_dead is OnDead.STOP and order.is_stopped_by(step):
                return Walked(replace(order, stopped_by=step.delivery_id), blocker=step)
            order = order.passed(step)
        return Walked(order)

    def is_stopped_by(self, step: Step) -> bool:
        """Tell whether it is dead and holds what follows.

        One past which others have gone holds nothing any more, nor does one from before there was an order.
        """
        return step.status is DeliveryStatus.DEAD and step.is_marked and step.sequence >= self.sent

    def passed(self, step: Step) -> MeetingOrder:
        """Go past one that is settled, or that is not for this endpoint."""
        was_sent = bool(step.attempt_count) and step.status is not None
        sent = max(self.sent, step.sequence) if was_sent else self.sent
        gap = self.gap
        if step.status is DeliveryStatus.SUCCEEDED:
            gap = 0
        elif step.status is DeliveryStatus.DEAD or step.skip_reason is SkipReason.GIVEN_UP:
            gap += 1
        return replace(self, through=step.sequence, sent=sent, gap=gap)


@dataclass(frozen=True, slots=True)
class Walked:
    """How far a walk through a meeting has come."""

    order: MeetingOrder
    #: What may go now.
    head: Step | None = None
    #: What must end first.
    blocker: Step | None = None

    @property
    def is_through(self) -> bool:
        """Whether nothing of what was looked at waits."""
        return self.head is None and self.blocker is None
