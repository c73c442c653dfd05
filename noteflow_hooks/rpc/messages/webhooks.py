"""From an endpoint to its message. A secret is in it only where it is passed in, a header's value never."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.health.endpoint_state import state_of
from noteflow_hooks.domain.options import OPTION_FIELDS
from noteflow_hooks.rpc.messages.convert import time_message
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.application.endpoints import EndpointView
    from noteflow_hooks.domain.client_certificates import CertificateInfo
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig


def webhook_message(view: EndpointView, *, secret: str | None = None) -> pb.Webhook:
    """Return an endpoint with its health; ``secret`` only for the call that made or changed it."""
    webhook = view.webhook
    return pb.Webhook(
        id=str(webhook.id),
        workspace_id=str(webhook.workspace_id),
        name=webhook.name,
        url=webhook.url,
        events=webhook.events,
        enabled=webhook.enabled,
        state=state_of(webhook, view.health),
        timeout_ms=webhook.timeout_ms,
        max_retries=webhook.max_retries,
        created_at=time_message(webhook.created_at),
        updated_at=time_message(webhook.updated_at),
        disabled_reason=webhook.disabled_reason,
        secret=secret,
        secret_hint=webhook.secret_hint,
        signed=webhook.is_signed,
        secret_unavailable=webhook.secret_unavailable,
        previous_secret_expires_at=time_message(_last_end(webhook)),
        previous_secrets=[
            pb.PreviousSecret(hint=each.secret_hint, expires_at=time_message(each.expires_at))
            for each in webhook.previous_secrets_at(datetime.now(UTC))
        ],
        header_names=webhook.header_names,
        rate_limit_per_s=webhook.rate_limit_per_s,
        max_concurrency=webhook.max_concurrency,
        paused=webhook.paused_at is not None,
        paused_at=time_message(webhook.paused_at),
        health=health_message(view.health),
        payload_version=webhook.payload_version,
        signing=webhook.signing,
        public_key=webhook.public_key,
        previous_public_keys=_previous_keys(webhook),
        verified_at=time_message(webhook.verified_at),
        pending_url=webhook.verification.pending_url,
        client_certificate_info=None if webhook.tls.info is None else _certificate(webhook.tls.info),
        server_ca_info=map(_certificate, webhook.tls.server_ca_info),
        **_options(view),
        **_contact(webhook),
    )


def _previous_keys(webhook: WebhookConfig) -> list[pb.PreviousPublicKey]:
    return [
        pb.PreviousPublicKey(public_key=each.public_key, expires_at=time_message(each.expires_at))
        for each in webhook.previous_keys_at(datetime.now(UTC))
    ]


def _options(view: EndpointView) -> dict[str, Any]:
    """Return the fields of its options, and of what has come of them."""
    trouble = view.filter_trouble
    own = {name: getattr(view.webhook.options, name) for name in OPTION_FIELDS}
    return own | {"filter_errors": trouble.errors, "filter_last_error": trouble.last_error}


def _contact(webhook: WebhookConfig) -> dict[str, Any]:
    """Return the fields of its contact."""
    contact = webhook.contact
    if contact is None:
        return {"digest": Digest.NONE}
    confirmed_at = time_message(contact.confirmed_at)
    return {"contact": contact.address, "digest": contact.digest, "contact_confirmed_at": confirmed_at}


def _certificate(info: CertificateInfo) -> pb.CertificateInfo:
    return pb.CertificateInfo(
        subject=info.subject, issuer=info.issuer, not_after=time_message(info.not_after), sha256=info.sha256
    )


def _last_end(webhook: WebhookConfig) -> datetime | None:
    """Return when the last of the earlier secrets will end, of those too that no key opens; None where all have."""
    ends = [each.expires_at for each in webhook.earlier_secrets]
    ends += filter(None, [webhook.previous_secret_expires_at])
    return max((each for each in ends if each > datetime.now(UTC)), default=None)


def health_message(health: EndpointHealth) -> pb.WebhookHealth:
    """Return an endpoint's health."""
    return pb.WebhookHealth(
        state=health.state,
        failures=health.failures,
        failing_since=time_message(health.failing_since),
        last_failure_at=time_message(health.last_failure_at),
        circuit_open_until=time_message(health.open_until),
        slow_since=time_message(health.slow_since),
    )
