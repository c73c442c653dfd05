"""Between rows and the domain's values. Secrets are encrypted and decrypted here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.access import ApiToken, Workspace
from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookAttempt, WebhookDelivery
from noteflow_hooks.domain.events import Event
from noteflow_hooks.domain.meetings import Recording
from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.errors import SecretUnavailableError

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Row

    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.persistence.orm import (
        ApiTokenRow,
        RecordingRow,
        WebhookAttemptRow,
        WebhookConfigRow,
        WebhookDeliveryRow,
        WebhookEventRow,
        WorkspaceRow,
    )

#: The columns of a delivery that its value carries, by the same names.
DELIVERY_FIELDS = tuple(WebhookDelivery.__dataclass_fields__)
_PLAIN_CONFIG_FIELDS = (
    "id",
    "workspace_id",
    "name",
    "url",
    "secret_hint",
    "previous_secret_expires_at",
    "enabled",
    "timeout_ms",
    "max_retries",
    "disabled_reason",
    "deleted_at",
)
_EVENT_FIELDS = (
    "id",
    "workspace_id",
    "event_type",
    "meeting_id",
    "target_webhook_id",
    "idempotency_key",
    "request_digest",
    "occurred_at",
)


class WebhookConverter:
    """Converts endpoints and deliveries. It holds the keys."""

    def __init__(self, box: SecretBox) -> None:
        """``box`` opens and closes the stored secrets."""
        self._box = box

    def config_to_domain(self, row: WebhookConfigRow | Row[Any]) -> WebhookConfig:
        """Return the endpoint; one whose secret can't be decrypted says so and has none, so that it is never lost."""
        secret, unavailable = self._open(row.id, row.secret)
        # One that is out of date, or that no key opens, signs no more; the newest one does without it.
        previous, _ = self._open(row.id, row.previous_secret)
        return WebhookConfig(
            **{name: getattr(row, name) for name in _PLAIN_CONFIG_FIELDS},
            events=tuple(row.events),
            secret=secret,
            previous_secret=previous,
            secret_unavailable=unavailable,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    def config_to_orm_kwargs(self, config: WebhookConfig) -> dict[str, Any]:
        """Return the columns to write. Secrets that could not be read are left out, and so stay as they are."""
        columns = {name: getattr(config, name) for name in _PLAIN_CONFIG_FIELDS} | {"events": list(config.events)}
        if not config.secret_unavailable:
            columns["secret"] = self._close(config.id, config.secret)
        if config.previous_secret is not None or config.previous_secret_expires_at is None:
            columns["previous_secret"] = self._close(config.id, config.previous_secret)
        return columns

    def delivery_to_domain(self, row: WebhookDeliveryRow | Row[Any]) -> WebhookDelivery:
        """Return the delivery."""
        columns = {name: getattr(row, name) for name in DELIVERY_FIELDS}
        return WebhookDelivery(**columns | {"status": DeliveryStatus(row.status)})

    def delivery_to_orm_kwargs(self, delivery: WebhookDelivery) -> dict[str, Any]:
        """Return the columns to write, without those that only the database sets."""
        return {name: getattr(delivery, name) for name in DELIVERY_FIELDS if name != "created_at"}

    def _open(self, webhook_id: UUID, sealed: bytes | None) -> tuple[str | None, bool]:
        """Return the secret, and whether there is one that no key opens."""
        try:
            return (None if sealed is None else self._box.decrypt(sealed, webhook_id=webhook_id)), False
        except SecretUnavailableError:
            return None, True

    def _close(self, webhook_id: UUID, secret: str | None) -> bytes | None:
        return None if secret is None else self._box.encrypt(secret, webhook_id=webhook_id)


def event_to_domain(row: WebhookEventRow | Row[Any]) -> Event:
    """Return the event, its payload the stored text's bytes."""
    columns = {name: getattr(row, name) for name in _EVENT_FIELDS}
    return Event(**columns, payload=row.payload.encode(), created_at=row.created_at, dispatched_at=row.dispatched_at)


def event_to_orm_kwargs(event: Event) -> dict[str, Any]:
    """Return the columns to write; the database sets the rest."""
    return {name: getattr(event, name) for name in _EVENT_FIELDS} | {"payload": event.payload.decode()}


def attempt_to_domain(row: WebhookAttemptRow) -> WebhookAttempt:
    """Return the attempt."""
    return WebhookAttempt(**{name: getattr(row, name) for name in WebhookAttempt.__dataclass_fields__})


def recording_to_domain(row: RecordingRow) -> Recording:
    """Return the recording."""
    return Recording(**{name: getattr(row, name) for name in Recording.__dataclass_fields__})


def workspace_to_domain(row: WorkspaceRow) -> Workspace:
    """Return the workspace."""
    return Workspace(id=row.id, name=row.name, created_at=row.created_at)


def token_to_domain(row: ApiTokenRow) -> ApiToken:
    """Return the token's record."""
    return ApiToken(**{name: getattr(row, name) for name in ApiToken.__dataclass_fields__})
