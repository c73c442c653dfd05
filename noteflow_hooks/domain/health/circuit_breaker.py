"""The circuit breaker: how results open and close it, change an endpoint's lane, and have people told.

Faults of our own say nothing about an endpoint and change nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import (
    EndpointTroublePayload,
    Event,
    WebhookEventType,
    format_timestamp,
    new_event,
)
from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules, cap
from noteflow_hooks.domain.mails import MailKind
from noteflow_hooks.domain.skipping import GONE_REASON

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: So many quick attempts in a row end an endpoint's time in the slow lane.
_QUICK_AGAIN: Final = 5
#: Slow start: how many POSTs may be under way once the breaker has closed; each success doubles it up to the cap.
_SLOW_START: Final = 2
#: Beyond this the wait is the longest in any case, and 2 ** n would only grow.
_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class HealthTransition:
    """A change of health of which the workspace's other endpoints are told, with the reason in words."""

    event_type: WebhookEventType
    reason: str
    #: Whether it answered 410 Gone, or what its vendor has for that.
    is_gone: bool = False

    @property
    def disables(self) -> bool:
        """Whether it disables the endpoint."""
        return self.event_type is WebhookEventType.WEBHOOK_DISABLED

    @property
    def mail_kind(self) -> MailKind:
        """What the mail is about that tells the endpoint's contact."""
        return MailKind.DISABLED if self.disables else MailKind.FAILING


def transition_event(event_id: UUID, webhook: WebhookConfig, event_type: str, reason: str, *, now: datetime) -> Event:
    """Make the event that tells a workspace's other endpoints of this one's transition."""
    payload = EndpointTroublePayload(
        event=event_type,
        timestamp=format_timestamp(now),
        meeting_id=None,
        webhook_id=str(webhook.id),
        reason=reason,
    )
    return new_event(event_id, webhook.workspace_id, payload, occurred_at=now)


def apply_results(
    health: EndpointHealth,
    webhook: WebhookConfig,
    results: Sequence[AttemptResult],
    *,
    now: datetime,
    rules: HealthRules,
) -> tuple[EndpointHealth, HealthTransition | None]:
    """Return the health after attempts that have ended, in their order, and the transition that they lead to.

    Empty ``results`` mean that deliveries were given back or skipped: there is room again, and nothing else is new.
    """
    after = health
    for result in results:
        after = _attempted(after, webhook, result, now=now, rules=rules)
    if after.awaiting_room:
        after = replace(after, turn_at=now, awaiting_room=False)
    transition = _transition(after, results, now=now, rules=rules) if webhook.is_active else None
    if transition is None:
        return after, None
    # A disabled endpoint has a slot now, in which its throttled deliveries are skipped. A warning is noted only.
    return (replace(after, turn_at=now) if transition.disables else replace(after, warned_at=now)), transition


def _attempted(
    health: EndpointHealth, webhook: WebhookConfig, result: AttemptResult, *, now: datetime, rules: HealthRules
) -> EndpointHealth:
    if result.is_our_fault:
        # ``probing_until`` stays too, since the attempt may have begun before the breaker opened, and be no probe. The
        # next probe goes when this one's lease ends.
        return health
    after = _timed(health, result.took, now=now, rules=rules)
    return _succeeded(after, webhook, now=now, rules=rules) if result.succeeded else _failed(after, now, rules)


def _timed(health: EndpointHealth, took: timedelta, *, now: datetime, rules: HealthRules) -> EndpointHealth:
    if took >= rules.slow_after:
        return health.slowed(now=now)
    if health.slow_since is None:
        return health
    if health.quick + 1 < _QUICK_AGAIN:
        return replace(health, quick=health.quick + 1)
    return replace(health, slow_since=None, quick=0)


def _succeeded(health: EndpointHealth, webhook: WebhookConfig, *, now: datetime, rules: HealthRules) -> EndpointHealth:
    well = replace(health, failures=0, failing_since=None, last_failure_at=None, warned_at=None)
    if health.open_until is not None:
        return replace(well, open_until=None, opened=0, probing_until=None, ramp=_SLOW_START, turn_at=now)
    if health.ramp is None:
        return well
    allowed = health.ramp * 2
    return replace(well, ramp=allowed if allowed < cap(replace(well, ramp=None), webhook, rules) else None)


def _failed(health: EndpointHealth, now: datetime, rules: HealthRules) -> EndpointHealth:
    since = health.failing_since if health.failing_since is not None else now
    allowed = health.ramp if health.ramp is None else max(1, health.ramp // 2)
    ill = replace(health, failures=health.failures + 1, failing_since=since, last_failure_at=now, ramp=allowed)
    if health.open_until is not None:
        # An attempt that was under way when the breaker opened is no probe.
        return ill if now < health.open_until else _opened(ill, now, rules)
    return _opened(ill, now, rules) if 0 < rules.breaker_failures <= ill.failures else ill


def _opened(health: EndpointHealth, now: datetime, rules: HealthRules) -> EndpointHealth:
    until = now + min(rules.breaker_open_max, rules.breaker_open * 2 ** min(health.opened, _DOUBLINGS))
    return replace(
        health,
        open_until=until,
        opened=health.opened + 1,
        probing_until=None,
        ramp=None,
        turn_at=until,
        awaiting_room=False,
        gathering=False,
    )


def _transition(
    health: EndpointHealth, results: Sequence[AttemptResult], *, now: datetime, rules: HealthRules
) -> HealthTransition | None:
    gone = next((each for each in results if each.is_gone), None)
    if gone is not None:
        return HealthTransition(WebhookEventType.WEBHOOK_DISABLED, _gone(gone.vendor_gone, now), is_gone=True)
    since, last = health.failing_since, health.last_failure_at
    if since is None or last is None:
        return None
    if now - since >= rules.disable_after and last - since >= rules.disable_span:
        return HealthTransition(WebhookEventType.WEBHOOK_DISABLED, _failed_for_long(since, now))
    if now - since >= rules.warn_after and health.warned_at is None:
        disabled_at = since + max(rules.disable_after, rules.disable_span)
        return HealthTransition(WebhookEventType.WEBHOOK_FAILING, _failing(since, disabled_at))
    return None


def _gone(words: str | None, now: datetime) -> str:
    vendor = "" if words is None else f", in its vendor's words {words},"
    return (
        f"{GONE_REASON}{vendor} at {_text(now)}. Give it a URL that answers, then enable it again; what was"
        " skipped can be sent again"
    )


def _failed_for_long(since: datetime, now: datetime) -> str:
    return (
        f"Every attempt since {_text(since)} has failed; disabled at {_text(now)}. Mend the endpoint, then enable it"
        " again; what was skipped can be sent again"
    )


def _failing(since: datetime, disabled_at: datetime) -> str:
    return (
        f"Every attempt since {_text(since)} has failed; without a success it is disabled from {_text(disabled_at)} on"
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
