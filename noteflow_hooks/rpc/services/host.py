"""What the servicers need of their host, so that another server can host the same services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from noteflow_hooks.errors import WebhooksOffError

if TYPE_CHECKING:
    from noteflow_hooks.application.endpoints import EndpointRules
    from noteflow_hooks.application.summarizer import Summarize
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.interceptors.limits import CallerLimits
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.runtime.system_watch import SystemWatch
    from noteflow_hooks.rpc.streaming.streams import AudioStreams
    from noteflow_hooks.rpc.watching.event_watches import EventWatches
    from noteflow_hooks.rpc.watching.watches import Watches


class ServicerHost(Protocol):
    """The attributes that the servicers read."""

    #: None where webhooks are switched off or there is no database: meetings work, and record no event.
    _webhook_service: WebhookService | None
    _database: Database
    _streams: AudioStreams
    _endpoints: EndpointRules
    _summarize: Summarize
    _schemas: SchemaChecker
    _watches: Watches
    _event_watches: EventWatches
    #: What WhoAmI says that callers can run into.
    _limits: CallerLimits
    _system: SystemWatch


def required(service: WebhookService | None) -> WebhookService:
    """Return the service, or raise WebhooksOffError that names the setting."""
    if service is None:
        raise WebhooksOffError
    return service


def with_webhooks(unit: UnitOfWork) -> UnitOfWork:
    """Return the unit of work, or raise PreconditionError where its store keeps no webhooks."""
    if not unit.supports_webhooks:
        raise WebhooksOffError
    return unit
