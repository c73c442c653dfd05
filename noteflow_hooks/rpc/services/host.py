"""What the servicers need of whoever hosts them, so that another server can host the same services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from noteflow_hooks.domain.webhooks import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT_MS
from noteflow_hooks.errors import PreconditionError

if TYPE_CHECKING:
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.services.summarizer import Summarize
    from noteflow_hooks.rpc.streaming.streams import AudioStreams

_OFF = "webhooks are switched off here; NOTEFLOW_HOOKS_WEBHOOKS_ENABLED, with a database, switches them on"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRules:
    """What this server allows and assumes when an endpoint is registered or changed."""

    #: Whether plain http to this machine is allowed: for development.
    allow_http_loopback: bool = False
    #: What a registration gets that names no ``timeout_ms``.
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    #: What a registration gets that names no ``max_retries``.
    max_retries: int = DEFAULT_MAX_RETRIES


class ServicerHost(Protocol):
    """The attributes that the servicers read."""

    #: None where webhooks are switched off or there is no database: meetings work, and record no event.
    _webhook_service: WebhookService | None
    _database: Database
    _streams: AudioStreams
    _endpoints: EndpointRules
    _summarize: Summarize


def required(service: WebhookService | None) -> WebhookService:
    """Return the service, or raise PreconditionError that names the setting."""
    if service is None:
        raise PreconditionError(_OFF)
    return service


def with_webhooks(unit: UnitOfWork) -> UnitOfWork:
    """Return the unit of work, or raise PreconditionError where its store keeps no webhooks."""
    if not unit.supports_webhooks:
        raise PreconditionError(_OFF)
    return unit
