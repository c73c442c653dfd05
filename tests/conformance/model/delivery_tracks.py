"""What must be so of each delivery and each endpoint, worked out from what was done and answered, by the contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from noteflow_hooks.domain.attempts import INTERRUPTED
from noteflow_hooks.domain.filters import FAILED, FILTERED, UNAVAILABLE, FilterAnswer
from noteflow_hooks.domain.skipping import ERASED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult
    from noteflow_hooks.domain.filters import Verdict
    from noteflow_hooks.domain.health.state import HealthRules

#: The wait before the second attempt; each further one is twice as long.
RETRY_BASE: Final = timedelta(seconds=10)
#: So many attempts in a row may be cut off, or fail by our own fault, before the delivery ends.
_INTERRUPTIONS: Final = 5
#: Kinds of failure that say nothing of the endpoint.
_OURS: Final = ("internal", "interrupted", "secret_unavailable")


#: The least and the most that a delivery waits for a worker that can ask its endpoint's filter.
_UNJUDGED: Final = (timedelta(seconds=5), timedelta(minutes=10))


class Span(NamedTuple):
    """A moment that is only known to lie in between, since a store takes its own look at the clock."""

    earliest: datetime
    latest: datetime

    def after(self, wait: timedelta) -> Span:
        """Return the moment so much later."""
        return Span(self.earliest + wait, self.latest + wait)

    def has(self, moment: datetime | None) -> bool:
        """Tell whether it may be that moment."""
        return moment is not None and self.earliest <= moment <= self.latest


class Attempt(NamedTuple):
    """One POST, as it must be on record."""

    status_code: int | None
    error_kind: str | None
    error_message: str | None
    response_body: str | None
    #: None where it was cut off: how long it took is for the store to say.
    duration_ms: int | None
    #: The batch whose POST it was.
    batch_id: UUID | None = None


@dataclass(eq=False)
class Track:
    """One delivery. Every method is something that happens to it."""

    event_id: UUID
    webhook_id: UUID
    status: str
    message: str | None = None
    #: When its next attempt is due, while it is pending.
    due: Span | None = None
    forced: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    #: What the row says of the last attempt; None before the first.
    last: Attempt | None = None
    #: Failures that count, and interruptions in a row, since it was last sent.
    failures: int = 0
    interruptions: int = 0
    claim_no: int = 0
    #: By what it is rendered since it was last sent; None for the payload as it is, and before a claim.
    rendering: str | None = None
    delivered: Span | None = None
    #: Of the claim that is under way: how many attempts there may be, why none may be made, until when it is held, and
    #: what the worker knows of the attempt before.
    most: int = 0
    reason: str | None = None
    lease: Span | None = None
    known: tuple[str | None, Attempt | None] = (None, None)
    is_probe: bool = False
    #: Whether its endpoint's filter has spoken, or is not to be asked; and whether it is what the filter held back.
    is_judged: bool = False
    is_filtered: bool = False
    #: Whether it carries a challenge: nothing but a lack of workers keeps its attempts back.
    asks: bool = False
    #: The batch that it is part of, until that is settled or dissolved; and how many may share its next one.
    batch: UUID | None = None
    limit: int | None = None

    def claim(self, *, most: int, reason: str | None, lease: Span, wanted: str | None) -> None:
        """Note that a worker has it. What its endpoint wants counts before the first attempt alone."""
        if not (self.rendering or self.failures or self.interruptions):
            self.rendering = wanted
        self.status, self.due, self.forced, self.is_probe = "sending", None, False, False
        self.claim_no += 1
        self.most, self.reason, self.lease, self.known = most, reason, lease, (self.message, self.last)

    def answer(self, result: AttemptResult, span: Span) -> None:
        """Note what came of its attempt."""
        self.is_judged = True
        body = None if self.message == ERASED.message else result.response_body
        kind = None if result.error_kind is None else str(result.error_kind)
        self._attempt(Attempt(result.status_code, kind, result.error_message, body, result.duration_ms))
        if kind is None:
            self._end("succeeded", None)
            self.delivered = span
            self.interruptions = 0
        elif kind == "internal":
            self.interruptions += 1
            self._retry_or_die(span, count=self.interruptions, most=_INTERRUPTIONS, retry_after=None)
        else:
            self.failures, self.interruptions = self.failures + 1, 0
            most = self.failures if result.is_gone else self.most
            self._retry_or_die(span, count=self.failures, most=most, retry_after=result.retry_after)
            if result.is_gone:
                self.message = result.error_message

    def judge(self, verdict: Verdict, span: Span) -> None:
        """Note what its endpoint's filter says of it, which is not that it passes."""
        if verdict.answer is FilterAnswer.UNAVAILABLE:
            self.release(Span(span.earliest + _UNJUDGED[0], span.latest + _UNJUDGED[1]))
            self.message = UNAVAILABLE
            return
        self.is_filtered = verdict.answer is FilterAnswer.FILTERED
        self.skip(FILTERED if self.is_filtered else f"{FAILED}{verdict.reason}")

    def cut_off(self, span: Span) -> None:
        """Note that it was taken back from its worker."""
        self._attempt(Attempt(None, "interrupted", INTERRUPTED, None, None))
        self.interruptions += 1
        self._retry_or_die(span, count=self.interruptions, most=_INTERRUPTIONS, retry_after=timedelta(0))
        if self.status == "pending":
            self.due = span

    def release(self, span: Span) -> None:
        """Note that its worker gave it back untried."""
        self._restore()
        self.status, self.due, self.lease, self.forced = "pending", span, None, self.asks

    def skip(self, reason: str) -> None:
        """Note that it is not sent."""
        if self.status == "sending":
            self._restore()
        self._end("skipped", reason)

    def send_again(self, span: Span, *, forced: bool, unfiltered: bool = False) -> None:
        """Note that it is due once more."""
        if forced:
            self.is_judged = True
        elif self.status == "skipped":
            self.is_judged = unfiltered and self.is_filtered
        self.is_filtered = False
        self.status, self.due, self.forced, self.delivered = "pending", span, forced, None
        self.failures = self.interruptions = 0
        self.rendering = None
        self.batch = self.limit = None

    def leave_batch(self, limit: int) -> None:
        """Note that its batch is dissolved."""
        self.batch, self.limit = None, min(limit, self.limit if self.limit is not None else limit)

    def erase(self) -> None:
        """Note that its event's payload is gone, and all answers with it."""
        self.attempts = [each._replace(response_body=None) for each in self.attempts]
        self.last = self.last and self.last._replace(response_body=None)
        if self.status == "pending":
            self._end("skipped", ERASED.message)
        elif self.status == "sending":
            self.message = ERASED.message

    @property
    def skipped_by_claim(self) -> bool:
        """Whether its last claim found that it must not be sent."""
        return self.status == "skipped" and self.reason is not None

    def forget_answers(self, batch_id: UUID) -> None:
        """Note that what was answered to a batch is gone, since one of its events is erased."""
        if all(each.batch_id != batch_id for each in self.attempts):
            return
        self.attempts = [
            each._replace(response_body=None) if each.batch_id == batch_id else each for each in self.attempts
        ]
        self.last = self.last and self.last._replace(response_body=None)
        message, last = self.known
        self.known = message, last and last._replace(response_body=None)

    def _attempt(self, attempt: Attempt) -> None:
        attempt = attempt._replace(batch_id=self.batch)
        self.attempts.append(attempt)
        self.last = attempt
        self.message, self.lease = attempt.error_message, None

    def _retry_or_die(self, span: Span, *, count: int, most: int, retry_after: timedelta | None) -> None:
        if count >= most:
            self._end("dead", f"Max retries exceeded: {self.message}")
            return
        wait = RETRY_BASE * 2 ** (count - 1)
        self.status, self.due = "pending", span.after(wait if retry_after is None else max(wait, retry_after))
        self.forced = self.asks

    def _restore(self) -> None:
        """Go back to what the worker read, but for an answer that was erased since."""
        erased = self.message == ERASED.message
        self.message, self.last = self.known
        if erased and self.last is not None:
            self.last = self.last._replace(response_body=None)

    def _end(self, status: str, message: str | None) -> None:
        self.status, self.message, self.due, self.lease, self.forced = status, message, None, None, False


@dataclass(eq=False)
class Endpoint:
    """How one endpoint does, and what was sent to it."""

    rules: HealthRules
    secret: str | None
    filter: str = ""
    format: str = "noteflow"
    failures: int = 0
    failing: Span | None = None
    last_failure: Span | None = None
    warned: bool = False
    #: Until when nothing goes; None while the breaker is closed.
    open_until: Span | None = None
    opened: int = 0
    #: When its rate limit counted something, since that was last changed.
    paced: list[Span] = field(default_factory=list)

    def settle(self, results: Sequence[AttemptResult], span: Span, *, is_active: bool) -> str | None:
        """Note ended attempts; return the type of the event that must tell of it, if one must."""
        for result in results:
            if result.error_kind is None:
                self._well()
            elif result.error_kind not in _OURS:
                self._ill(span)
        return self._trouble(results, span) if is_active else None

    def see_to(self) -> None:
        """Note that a person did something about it."""
        self._well()

    def _well(self) -> None:
        self.failures = self.opened = 0
        self.failing = self.last_failure = self.open_until = None
        self.warned = False

    def _ill(self, span: Span) -> None:
        self.failures += 1
        self.failing = self.failing or span
        self.last_failure = span
        if self.open_until is None:
            if 0 < self.rules.breaker_failures <= self.failures:
                self._open(span)
        elif span.latest >= self.open_until.earliest:
            self._open(span)

    def _open(self, span: Span) -> None:
        wait = min(self.rules.breaker_open_max, self.rules.breaker_open * 2**self.opened)
        self.open_until, self.opened = span.after(wait), self.opened + 1

    def _trouble(self, results: Sequence[AttemptResult], span: Span) -> str | None:
        if any(each.is_gone for each in results):
            return "webhook.disabled"
        if self.failing is None or self.last_failure is None:
            return None
        failing_for = span.earliest - self.failing.earliest
        spread = self.last_failure.earliest - self.failing.earliest
        if failing_for >= self.rules.disable_after and spread >= self.rules.disable_span:
            return "webhook.disabled"
        if failing_for >= self.rules.warn_after and not self.warned:
            self.warned = True
            return "webhook.failing"
        return None


def as_recorded(attempt: Any, expected: Attempt) -> Attempt:  # noqa: ANN401 - a row of either store
    """Return the attempt as a row has it, to be compared with what is expected."""
    took = None if expected.duration_ms is None else attempt.duration_ms
    kind = None if attempt.error_kind is None else str(attempt.error_kind)
    return Attempt(attempt.status_code, kind, attempt.error_message, attempt.response_body, took, attempt.batch_id)
