"""Giving an endpoint a new secret, key pair or both. Works in the caller's unit of work."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.endpoints import EndpointView, find_webhook, view_of
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_rotation
from noteflow_hooks.domain.endpoint_keys import USED, Rotated, Signing, check_what
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.domain.webhooks import WebhookConfig, check_seconds, new_secret
from noteflow_hooks.errors import InvalidInputError, PreconditionError
from noteflow_hooks.key_pairs import generate_key_pair

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

#: For how long the previous secret signs beside a new one, where the caller doesn't say.
OVERLAP: Final = timedelta(hours=24)
#: For how long it may.
OVERLAP_LIMIT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new secret, key pair or both, and for how long those before sign on; without an overlap they end now."""

    secret: str = field(repr=False)
    overlap: timedelta
    #: None for whatever the endpoint uses.
    what: Rotated | None = None
    #: Whether the caller has named the secret.
    is_given: bool = False

    @classmethod
    def create(cls, secret: str | None = None, *, overlap_s: float | None = None, what: str | None = None) -> Rotation:
        """Make a rotation, to a secret of our own where none is given; raise InvalidInputError that names the field."""
        made, overlap, rotated = check_all(
            lambda: new_secret(secret),
            lambda: OVERLAP if overlap_s is None else check_seconds("overlap_seconds", overlap_s, limit=OVERLAP_LIMIT),
            lambda: None if what is None else check_what(what),
        )
        return cls(made, overlap, rotated, is_given=secret is not None)

    def of(self, signing: Signing) -> Rotated:
        """Return what is rotated of an endpoint that is signed so."""
        return self.what if self.what is not None else USED[signing]

    def new_secret_of(self, webhook: WebhookConfig) -> str | None:
        """Return the secret that the endpoint gets; None where that stays as it is."""
        return None if self.of(webhook.signing) is Rotated.KEY else self.secret


def rotate_secret(
    unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID, rotation: Rotation, *, now: datetime, by: Actor
) -> EndpointView:
    """Give an endpoint its new secret, key pair or both; those before sign beside them until the overlap is over."""
    webhook = find_webhook(unit, workspace_id, webhook_id, lock=True)
    stored = unit.webhooks.update(_rotated(webhook, rotation, now=now))
    old, new = tell_rotation(webhook, rotation.of(webhook.signing))
    new["overlap_seconds"] = rotation.overlap.total_seconds()
    target = (TargetKind.WEBHOOK, webhook_id)
    unit.audit.add(entry_of(by, Action.WEBHOOK_SECRET_ROTATED, workspace_id, target, old=old, new=new))
    unit.on_commit(lambda: log.info("webhook %s changed: %s", webhook_id, rotation.of(webhook.signing)))
    return view_of(unit, stored)


def _rotated(webhook: WebhookConfig, rotation: Rotation, *, now: datetime) -> WebhookConfig:
    if webhook.options.format.is_preset:
        raise PreconditionError(f"webhook_id: has format {webhook.options.format}, and nothing signs such an endpoint")
    what = rotation.of(webhook.signing)
    if what is Rotated.KEY and rotation.is_given:
        raise InvalidInputError("secret", "must not be set where the key alone is rotated; set what to secret or both")
    if what is not Rotated.KEY:
        webhook = webhook.rotated(rotation.secret, now=now, overlap=rotation.overlap)
    if what is not Rotated.SECRET:
        webhook = webhook.rotated_key(generate_key_pair(), now=now, overlap=rotation.overlap)
    return webhook
