"""What a worker has of a delivery that it has claimed, and the next state that it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.domain.challenges import VERIFICATION, reason_not_to_ask
from noteflow_hooks.domain.filters import UNAVAILABLE, Verdict, is_filterable, skip_of_verdict, wait_for_evaluator
from noteflow_hooks.domain.renderings import LOOK_AGAIN_AFTER, UNKNOWN_RENDERER, Rendering
from noteflow_hooks.domain.skipping import DELETED, ERASED, Skip, SkipReason, skip_of_disabled

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.challenges import Challenge
    from noteflow_hooks.domain.deliveries import AttemptResult, WebhookDelivery
    from noteflow_hooks.domain.ordering import Rank
    from noteflow_hooks.domain.renderings import EventFacts
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.domain.webhooks import WebhookConfig


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker has claimed, with its endpoint and its payload as they were at the claim."""

    delivery: WebhookDelivery
    webhook: WebhookConfig
    payload: bytes = field(repr=False)
    #: Whether the event is a test for this very endpoint, sent whatever it subscribes to.
    targeted: bool = False
    #: Whether the payload was erased: there is nothing to send.
    erased: bool = False
    #: What a 2xx must give back to count as success; None where any 2xx does.
    challenge: Challenge | None = None
    #: Where the event stands among its meeting's; None where it has no number.
    rank: Rank | None = None
    #: What its rendering needs of the event; None where that is the usual one.
    facts: EventFacts | None = field(default=None, repr=False)

    @property
    def awaits_release(self) -> bool:
        """Whether it was begun with a renderer that this release doesn't have: another would send other bytes."""
        if self.delivery.rendering is None:
            return False
        rendering = Rendering.read(self.delivery.rendering)
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
        is_asked = self.webhook.options.filter and not self.targeted and self.delivery.awaits_verdict
        return bool(is_asked) and is_filterable(self.delivery.event_type)

    def settlement(
        self, result: AttemptResult | Verdict | None, *, policy: RetryPolicy, draw: Callable[[], float]
    ) -> Settlement:
        """Return the delivery's next state: by the attempt's result or the filter's verdict, or without either.

        ``draw`` is uniform in [0, 1).
        """
        if isinstance(result, Verdict):
            return self._settlement_of(result)
        if result is not None:
            after, wait = self.delivery.attempted(
                result, max_retries=self.webhook.max_retries, policy=policy, draw=draw()
            )
            if self.asks_filter or self.delivery.passes_filter is False:
                # It was asked, if there is one, or there would be no attempt.
                after = replace(after, passes_filter=True)
            return Settlement(after, wait=wait, attempt=result)
        reason = self.reason_to_skip()
        if reason is not None:
            return Settlement(self.delivery.skipped(reason))
        if self.awaits_release:
            return Settlement(self.delivery.released(UNKNOWN_RENDERER), wait=LOOK_AGAIN_AFTER)
        return Settlement(self.delivery.released(), wait=timedelta(0))

    def _settlement_of(self, verdict: Verdict) -> Settlement:
        skip = skip_of_verdict(verdict)
        if skip is not None:
            failed = skip.reason is SkipReason.FILTER_FAILED
            return Settlement(self.delivery.skipped(skip), filter_error=verdict.reason if failed else None)
        wait = wait_for_evaluator(self.delivery.created_at, lease_end=self.delivery.lease_expires_at)
        return Settlement(self.delivery.released(UNAVAILABLE), wait=wait)


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
