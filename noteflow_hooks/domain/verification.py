"""Which endpoints have to show that they want deliveries, and what becomes of one that is asked or has answered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.challenges import MARK, NEVER_ASKED, Challenge, Verification, with_challenge
from noteflow_hooks.domain.events import VerificationPayload, WebhookEventType, format_timestamp, new_event
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.skipping import is_gone
from noteflow_hooks.errors import InvalidInputError, PreconditionError, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: What CloudEvents' receivers know us by, unless a setting says otherwise.
ORIGIN: Final = "noteflow-hooks"


def needs_verification(before: WebhookConfig | None, after: WebhookConfig) -> bool:
    """Tell whether an endpoint, new or changed, has to show that it wants deliveries, where that is required.

    A preset is exempt: its vendor's host takes nothing but what somebody has set up there.
    """
    if after.options.format.is_preset:
        return False
    return before is None or before.url != after.url or before.options.format.is_preset


def registered(webhook: WebhookConfig, *, now: datetime) -> WebhookConfig:
    """Return the new endpoint as it is stored where verification is required; a disabled one is asked once enabled."""
    if not needs_verification(None, webhook):
        return webhook
    return _asked(replace(webhook, verification=Verification(unverified_since=now)), now=now)


def updated(
    before: WebhookConfig, after: WebhookConfig, *, names_url: bool, is_required: bool, now: datetime
) -> WebhookConfig:
    """Return the changed endpoint as it is stored. ``names_url`` is whether the change names a URL, the same or not.

    A verified endpoint keeps its URL until the new one answers, unless its URL is gone. Without ``is_required`` a new
    URL counts at once.
    """
    had = before.verification
    if after.options.format.is_preset:
        return after if had is NEVER_ASKED else replace(after, verification=NEVER_ASKED)
    if not is_required:
        return _moved_freely(before, after, names_url=names_url)
    if needs_verification(before, after):
        return _moved(before, after, now=now)
    if names_url and had.pending_url is not None:
        # Back to the URL that it has: there is nothing to ask any more.
        return replace(after, verification=replace(had, pending_url=None, challenge=None))
    is_enabled = after.is_active and not before.is_active
    return _enabled(before, after, now=now) if is_enabled and had.is_awaited else after


def _enabled(before: WebhookConfig, after: WebhookConfig, *, now: datetime) -> WebhookConfig:
    """Return an endpoint that is asked again: its challenge was skipped while it was disabled."""
    pending = before.verification.pending_url
    if pending is not None and is_gone(before):
        return _moved(before, replace(after, url=pending), now=now)
    return _asked(after, now=now)


def _moved_freely(before: WebhookConfig, after: WebhookConfig, *, names_url: bool) -> WebhookConfig:
    had = before.verification
    if after.url != before.url:
        return after if had is NEVER_ASKED else replace(after, verification=NEVER_ASKED)
    if names_url and had.pending_url is not None:
        return replace(after, verification=replace(had, pending_url=None, challenge=None))
    return after


def _moved(before: WebhookConfig, after: WebhookConfig, *, now: datetime) -> WebhookConfig:
    had = before.verification
    if before.options.format.is_preset or had.unverified_since is not None or is_gone(before):
        # Nothing goes to it until it answers, so it has no URL to keep. At one that is gone, the next delivery would
        # disable it once more, and the challenge would be skipped.
        since = had.unverified_since if had.unverified_since is not None else now
        return _asked(replace(after, verification=Verification(since)), now=now)
    if after.tls != before.tls:
        raise InvalidInputError(
            "url",
            "must not be changed together with a certificate or server_ca: deliveries go on"
            " to the old URL with those that it has until the new one is verified",
        )
    stays = replace(after, url=before.url, verification=replace(had, pending_url=after.url))
    is_asked = had.pending_url == after.url and had.challenge is not None and now < had.challenge.expires_at
    # Asked for the same move once more, it goes on with the challenge that is out.
    return stays if is_asked and before.is_active else _asked(stays, now=now)


def _asked(webhook: WebhookConfig, *, now: datetime) -> WebhookConfig:
    challenge = Challenge.new(now) if webhook.is_active else None
    return replace(webhook, verification=replace(webhook.verification, challenge=challenge))


def asked_anew(webhook: WebhookConfig, *, now: datetime) -> WebhookConfig:
    """Return the endpoint with a new challenge, which voids the one before."""
    return _asked(webhook, now=now)


def verified(webhook: WebhookConfig, *, now: datetime) -> WebhookConfig:
    """Return the endpoint once it has answered, at the URL that it was to move to if there is one."""
    moved_to = webhook.verification.pending_url
    return replace(
        webhook,
        url=moved_to if moved_to is not None else webhook.url,
        verification=Verification(verified_at=now),
    )


def as_asked(claim: Claim) -> Claim:
    """Return the claim of a ``webhook.verification`` as it is sent: where the endpoint is to be, and the challenge.

    One whose challenge is void is returned as it is, and is skipped.
    """
    asked = claim.webhook.verification
    if asked.challenge is None or asked.challenge.event_id != claim.delivery.event_id:
        return claim
    url = asked.pending_url if asked.pending_url is not None else claim.webhook.url
    return replace(
        claim,
        webhook=claim.webhook if url == claim.webhook.url else replace(claim.webhook, url=url),
        payload=with_challenge(claim.payload, asked.challenge),
        challenge=asked.challenge,
    )


def check_verified(webhook: WebhookConfig, *, what: str) -> None:
    """Raise :class:`PreconditionError`, which says what to do, if nothing may be sent to the endpoint yet."""
    if webhook.verification.unverified_since is not None:
        raise PreconditionError(
            f"webhook {webhook.id} is not verified: it has yet to answer its challenge; ask it again with VerifyWebhook"
            f" (`webhooks verify`), then {what}",
            reason=Reason.WEBHOOK_UNVERIFIED,
        )


def verification_event(webhook: WebhookConfig, challenge: Challenge, *, now: datetime) -> Event:
    """Return the event that asks the endpoint; it has a mark in the challenge's place."""
    payload = VerificationPayload(
        event=WebhookEventType.WEBHOOK_VERIFICATION,
        timestamp=format_timestamp(now),
        meeting_id=None,
        webhook_id=str(webhook.id),
        challenge=MARK,
        expires_at=format_timestamp(challenge.expires_at),
    )
    return new_event(challenge.event_id, webhook.workspace_id, payload, occurred_at=now, target_webhook_id=webhook.id)


def takes_handshake(webhook: WebhookConfig) -> bool:
    """Tell whether the endpoint's receiver may know CloudEvents' own way to ask (HTTP 1.1 Web Hooks, 4)."""
    return webhook.options.format in (Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY)
