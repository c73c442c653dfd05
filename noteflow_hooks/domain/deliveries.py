"""A delivery is one event for one endpoint; its states, who moves it on, and the attempts that were made.

``pending``   waits for ``next_attempt_at``; a worker that claims it makes it ``sending``.
``sending``   a worker holds it until ``lease_expires_at``; the worker settles it, or the sweep reclaims it.
``succeeded`` the last status code was 200 to 299; may be sent again.
``dead``      out of attempts, or refused for good; may be sent again.
``skipped``   not sent, with the reason; may be recovered by sending it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.attempts import GONE, OUR_FAULTS, SUCCESS, ErrorKind
from noteflow_hooks.domain.challenges import VERIFICATION, reason_not_to_ask
from noteflow_hooks.domain.filters import Verdict
from noteflow_hooks.domain.judging import held_back, is_asked_about, passes_again
from noteflow_hooks.domain.renderings import LOOK_AGAIN_AFTER, UNKNOWN_RENDERER, Rendering
from noteflow_hooks.domain.skipping import DELETED, ERASED, Skip, SkipReason, skip_of_disabled
from noteflow_hooks.domain.tuples import shown_without
from noteflow_hooks.errors import InvalidTransitionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.challenges import Challenge
    from noteflow_hooks.domain.exchanges import Exchange
    from noteflow_hooks.domain.ranks import Rank
    from noteflow_hooks.domain.renderings import EventFacts
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: How many attempts in a row may be cut off by crashes, or fail by our own fault, before the delivery ends.
INTERRUPTIONS_LIMIT: Final = 5
#: How the message of a delivery begins that is out of attempts.
EXHAUSTED: Final = "Max retries exceeded: "


class DeliveryStatus(StrEnum):
    """The states, as they are stored."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    SKIPPED = "skipped"


#: The final statuses: nothing is under way, and the delivery may be sent again.
FINAL_STATUSES: Final = frozenset({DeliveryStatus.SUCCEEDED, DeliveryStatus.DEAD, DeliveryStatus.SKIPPED})


class AttemptResult(NamedTuple):
    """What came of one attempt: a value, whatever the receiver did."""

    started_at: datetime
    duration_ms: int
    status_code: int | None = None
    #: At most 4,096 bytes as UTF-8, fit to be stored; None where no body was read.
    response_body: str | None = None
    #: None if, and only if, the attempt succeeded.
    error_kind: ErrorKind | None = None
    error_message: str | None = None
    #: What the answer's ``Retry-After`` asked for.
    retry_after: timedelta | None = None
    #: In which words its vendor says that nothing will ever be taken there again; a 410 says so by itself.
    vendor_gone: str | None = None
    #: Of a batch that was answered with success: the events that the answer names as failed all the same.
    failed_events: frozenset[UUID] = frozenset()
    #: Whether a kept connection had ended, and the request was sent a second time over a new one.
    redialled: bool = False
    #: Where its time went, and its headers; None where that is not known.
    exchange: Exchange | None = None

    def __repr__(self) -> str:
        return shown_without(self, "response_body", "exchange")

    @property
    def succeeded(self) -> bool:
        """Whether the final status was 200 to 299; nothing else is success."""
        return self.error_kind is None and self.status_code is not None and self.status_code in SUCCESS

    @property
    def is_gone(self) -> bool:
        """Whether the receiver has said that it wants no more deliveries."""
        return self.status_code == GONE or self.vendor_gone is not None

    @property
    def is_our_fault(self) -> bool:
        """Whether the fault is our own, so that the result says nothing about the endpoint."""
        return self.error_kind in OUR_FAULTS

    @property
    def took(self) -> timedelta:
        """How long the attempt took."""
        return timedelta(milliseconds=self.duration_ms)


class WebhookDelivery(NamedTuple):
    """One event for one endpoint. Every change of state is a method that returns the next value."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    #: The last attempt's, like ``response_body``, ``error_message``, ``error_kind`` and ``duration_ms``.
    status_code: int | None = None
    response_body: str | None = None
    error_message: str | None = None
    #: Attempts on record, the interrupted ones included.
    attempt_count: int = 0
    duration_ms: int | None = None
    next_attempt_at: datetime | None = None
    lease_expires_at: datetime | None = None
    delivered_at: datetime | None = None
    created_at: datetime | None = None
    #: Failed attempts that count against ``max_retries``; sending again starts it anew.
    budget_used: int = 0
    #: Attempts in a row that a crash cut off, or that failed by a fault of our own.
    interruptions: int = 0
    #: The fencing token: raised at each claim, never lowered. A result counts only under the claim it was made for.
    claim_no: int = 0
    #: Throttled: waits for its endpoint's scheduling slot, since the breaker, a limit or a pause holds it back.
    held: bool = False
    #: A person asked for the next attempt: neither the breaker nor a limit nor a pause holds it back.
    forced: bool = False
    skip_reason: SkipReason | None = None
    error_kind: str | None = None
    #: Whether it passes its endpoint's filter unasked; False has it asked, and None unless an attempt has ended.
    passes_filter: bool | None = None
    ordered_meeting: str | None = None
    sequence: int | None = None
    gap: int | None = None
    out_of_order: bool | None = None
    #: The batch that it is part of until that is settled or dissolved, and was last part of once it is settled itself.
    batch_id: UUID | None = None
    #: Once its batch was dissolved: how many may share its next one.
    batch_limit: int | None = None
    #: By what its attempts are rendered, see :mod:`renderings`; None for the usual, or before its first claim.
    rendering: str | None = None

    def __repr__(self) -> str:
        return shown_without(self, "response_body")

    @property
    def is_begun(self) -> bool:
        """Whether an attempt of it may have been made since it came to be, or since it was sent again."""
        return self.rendering is not None or self.budget_used > 0 or self.interruptions > 0

    @property
    def asks_to_verify(self) -> bool:
        """Whether it carries a challenge: none of its attempts is kept back by breaker, limits or a pause."""
        return self.event_type == VERIFICATION

    def is_due(self, moment: datetime) -> bool:
        """Tell whether it may be claimed by then without a scheduling slot."""
        pending = self.status is DeliveryStatus.PENDING and not self.held
        return pending and self.next_attempt_at is not None and self.next_attempt_at <= moment

    def is_expired(self, moment: datetime) -> bool:
        """Tell whether the lease of the worker that holds it has run out by then."""
        sending = self.status is DeliveryStatus.SENDING
        return sending and self.lease_expires_at is not None and self.lease_expires_at <= moment

    def claimed(self, *, lease_until: datetime, rendering: str | None = None) -> WebhookDelivery:
        """Claim it for one attempt; ``rendering`` is what its endpoint wants now, and counts for the first one."""
        self._require(DeliveryStatus.PENDING)
        return self._replace(
            status=DeliveryStatus.SENDING,
            claim_no=self.claim_no + 1,
            next_attempt_at=None,
            lease_expires_at=lease_until,
            held=False,
            forced=False,
            rendering=self.rendering if self.is_begun else rendering,
        )

    def attempted(
        self, result: AttemptResult, *, max_retries: int, policy: RetryPolicy, draw: float
    ) -> tuple[WebhookDelivery, timedelta | None]:
        """Record an attempt's result; return the next state, and the wait if another attempt is to be made."""
        self._require(DeliveryStatus.SENDING)
        after = self._replace(
            status=DeliveryStatus.SUCCEEDED,
            status_code=result.status_code,
            response_body=result.response_body,
            error_message=result.error_message,
            error_kind=result.error_kind,
            duration_ms=result.duration_ms,
            attempt_count=self.attempt_count + 1,
            interruptions=0,
            lease_expires_at=None,
        )
        if result.succeeded:
            return after, None
        if result.error_kind is ErrorKind.INTERNAL:
            return self._failed_by_us(after, policy=policy, draw=draw)
        used = self.budget_used + 1
        if result.is_gone:
            return after._replace(status=DeliveryStatus.DEAD, budget_used=used), None
        if used < max_retries:
            wait = policy.wait(used, draw=draw, retry_after=result.retry_after)
            return after._replace(status=DeliveryStatus.PENDING, budget_used=used), wait
        message = f"{EXHAUSTED}{result.error_message}"
        return after._replace(status=DeliveryStatus.DEAD, budget_used=used, error_message=message), None

    def _failed_by_us(
        self, after: WebhookDelivery, *, policy: RetryPolicy, draw: float
    ) -> tuple[WebhookDelivery, timedelta | None]:
        """Try again without using up the endpoint's budget, but not for ever."""
        # An attempt all the same: its filter was asked before.
        after, count = after._replace(passes_filter=True), self.interruptions + 1
        if count < INTERRUPTIONS_LIMIT:
            return after._replace(status=DeliveryStatus.PENDING, interruptions=count), policy.wait(count, draw=draw)
        message = f"{EXHAUSTED}{after.error_message}"
        return after._replace(status=DeliveryStatus.DEAD, interruptions=count, error_message=message), None

    def released(self, why: str | None = None) -> WebhookDelivery:
        """Give it back untried: the claim came too late for an attempt, or ``why`` says what else is in its way."""
        self._require(DeliveryStatus.SENDING)
        kept = self.error_message if why is None else why
        return self._replace(status=DeliveryStatus.PENDING, lease_expires_at=None, error_message=kept)

    def skipped(self, skip: Skip) -> WebhookDelivery:
        """End it without a POST."""
        self._require(DeliveryStatus.PENDING, DeliveryStatus.SENDING)
        return self._replace(
            status=DeliveryStatus.SKIPPED,
            error_message=skip.message,
            skip_reason=skip.reason,
            next_attempt_at=None,
            lease_expires_at=None,
            held=False,
            forced=False,
        )

    def erased(self) -> WebhookDelivery:
        """Drop what may repeat the payload. A pending delivery is skipped; one that is under way is marked."""
        if self.status is DeliveryStatus.PENDING:
            return self.skipped(ERASED)._replace(response_body=None)
        # The mark keeps an answer that comes later from being stored.
        marked = ERASED.message if self.status is DeliveryStatus.SENDING else self.error_message
        return self._replace(error_message=marked, response_body=None)

    def throttled(self) -> WebhookDelivery:
        """Leave it to its endpoint's scheduling slots."""
        self._require(DeliveryStatus.PENDING)
        return self._replace(held=True)

    def sent_again(self, *, now: datetime, forced: bool = False, unfiltered: bool = False) -> WebhookDelivery:
        """Make it due once more, with a fresh budget; attempts are numbered on.

        ``forced`` lets it pass the breaker, limits, a pause and the filter; otherwise it waits for its endpoint's slot.
        ``unfiltered`` lets it pass the filter that has held it back. The verdict stands of what was sent.
        """
        self._require(*FINAL_STATUSES)
        passes = forced or passes_again(self, was_skipped=self.status is DeliveryStatus.SKIPPED, unfiltered=unfiltered)
        return self._replace(
            status=DeliveryStatus.PENDING,
            next_attempt_at=now,
            delivered_at=None,
            budget_used=0,
            interruptions=0,
            held=not forced,
            forced=forced,
            skip_reason=None,
            passes_filter=passes,
            gap=None,
            out_of_order=None,
            batch_id=None,
            batch_limit=None,
            rendering=None,
        )

    def _require(self, *allowed: DeliveryStatus) -> None:
        if self.status not in allowed:
            words = ", ".join(sorted(allowed))
            raise InvalidTransitionError(f"delivery {self.id} is {self.status}; this needs it to be one of: {words}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker has claimed, with its endpoint and its payload as they were at the claim."""

    delivery: WebhookDelivery
    webhook: WebhookConfig
    payload: bytes = field(repr=False)
    #: Whether the event is a test for this very endpoint, sent whatever it subscribes to.
    targeted: bool = False
    #: The payload was erased.
    erased: bool = False
    #: What a 2xx must give back to count as success; None where any 2xx does.
    challenge: Challenge | None = None
    rank: Rank | None = None
    #: What its rendering needs of the event; None where that is the usual one.
    facts: EventFacts | None = field(default=None, repr=False)

    @property
    def awaits_release(self) -> bool:
        """Whether it was begun with a renderer that this release doesn't have: another would send other bytes."""
        rendering = None if self.delivery.rendering is None else Rendering.read(self.delivery.rendering)
        return rendering is not None and not rendering.is_known

    def reason_to_skip(self) -> Skip | None:
        """Return why it must not be sent, or None where it may."""
        if self.webhook.deleted_at is not None:
            return DELETED
        if not self.webhook.enabled:
            return skip_of_disabled(self.webhook)
        if self.erased:
            return ERASED
        if not self.targeted and not self.webhook.subscribes_to(self.delivery.event_type):
            return Skip(f"Event {self.delivery.event_type} not subscribed", SkipReason.NOT_SUBSCRIBED)
        if self.delivery.event_type != VERIFICATION:
            return None
        why = reason_not_to_ask(self.challenge, lease_end=self.delivery.lease_expires_at)
        return None if why is None else Skip(why, None)

    @property
    def asks_filter(self) -> bool:
        """Whether the endpoint's filter is to be asked before this attempt."""
        return bool(self.webhook.options.filter) and is_asked_about(self.delivery, targeted=self.targeted)

    def let_pass(self, after: WebhookDelivery) -> WebhookDelivery:
        """Return its next state, which notes that the filter has let it pass, if it was asked."""
        return after._replace(passes_filter=True) if self.asks_filter or self.delivery.passes_filter is False else after

    def settlement_of(self, verdict: Verdict) -> Settlement:
        """Return the next state of one that its endpoint's filter does not let pass."""
        after, wait, error = held_back(self.delivery, verdict)
        return Settlement(after, wait=wait, filter_error=error)

    def settlement(
        self, result: AttemptResult | Verdict | None, *, policy: RetryPolicy, draw: Callable[[], float]
    ) -> Settlement:
        """Return the delivery's next state: by the attempt's result or the filter's verdict, or without either.

        ``draw`` is uniform in [0, 1).
        """
        if isinstance(result, Verdict):
            return self.settlement_of(result)
        if result is not None:
            most = self.webhook.max_retries
            after, wait = self.delivery.attempted(result, max_retries=most, policy=policy, draw=draw())
            return Settlement(self.let_pass(after), wait=wait, attempt=result)
        reason = self.reason_to_skip()
        if reason is not None:
            return Settlement(self.delivery.skipped(reason))
        if self.awaits_release:
            return Settlement(self.delivery.released(UNKNOWN_RENDERER), wait=LOOK_AGAIN_AFTER)
        return Settlement(self.delivery.released(), wait=timedelta(0))


@dataclass(frozen=True, slots=True)
class Settlement:
    """The next state of a claimed delivery, stored only if no newer claim has been made."""

    delivery: WebhookDelivery
    #: How long until the next attempt, from now by the database's clock; None where there will be none.
    wait: timedelta | None = None
    #: The attempt to record; None where nothing was sent.
    attempt: AttemptResult | None = None
    #: How the endpoint's filter failed on it; None where it did not.
    filter_error: str | None = None
    #: The batch that the attempt was made of: its members' attempts are one POST.
    batch_id: UUID | None = None

    @property
    def waits_for_slot(self) -> bool:
        """Whether it waits for a scheduling slot from now on, since its batch is sent again as it is."""
        return self.delivery.status is DeliveryStatus.PENDING and self.delivery.batch_id is not None

    @property
    def is_failure(self) -> bool:
        """Whether an attempt was made and did not succeed."""
        return self.attempt is not None and not self.attempt.succeeded

    @property
    def verifies(self) -> bool:
        """Whether its endpoint has given its challenge back."""
        return self.delivery.event_type == VERIFICATION and self.attempt is not None and self.attempt.succeeded

    def is_notable(self, slow_after: timedelta) -> bool:
        """Tell whether it changes the health of an endpoint that was well until now."""
        made = self.attempt
        if made is None or made.is_our_fault or self.delivery.event_type == VERIFICATION:
            return False
        # Only what succeeded has no kind of error.
        return made.error_kind is not None or made.took >= slow_after

    @property
    def fencing_key(self) -> tuple[UUID, int]:
        """The claim that it was made under: the delivery's id and the claim's number."""
        return self.delivery.id, self.delivery.claim_no
