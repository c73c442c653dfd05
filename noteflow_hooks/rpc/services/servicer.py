"""The servicer: all services in one object, with or without webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.application.summarizer import Summarize, summarize_briefly
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc
from noteflow_hooks.rpc.runtime.system_watch import SystemWatch
from noteflow_hooks.rpc.services.audit import AuditMixin
from noteflow_hooks.rpc.services.callers import CallerMixin
from noteflow_hooks.rpc.services.contacts import ContactMixin
from noteflow_hooks.rpc.services.deliveries import DeliveryMixin
from noteflow_hooks.rpc.services.endpoints import EndpointMixin
from noteflow_hooks.rpc.services.event_types import EventTypeMixin
from noteflow_hooks.rpc.services.event_watching import EventWatchMixin
from noteflow_hooks.rpc.services.events import EventMixin
from noteflow_hooks.rpc.services.filters import FilterMixin
from noteflow_hooks.rpc.services.meetings import MeetingMixin
from noteflow_hooks.rpc.services.no_schemas import NoSchemas
from noteflow_hooks.rpc.services.previews import PreviewMixin
from noteflow_hooks.rpc.services.replays import ReplayMixin
from noteflow_hooks.rpc.services.stats import StatsMixin
from noteflow_hooks.rpc.services.system import SystemMixin
from noteflow_hooks.rpc.services.verification import VerificationMixin
from noteflow_hooks.rpc.services.watching import WatchMixin

if TYPE_CHECKING:
    import grpc

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.ports.schemas import SchemaChecker
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.streaming.streams import AudioStreams
    from noteflow_hooks.rpc.watching.event_watches import EventWatches
    from noteflow_hooks.rpc.watching.watches import Watches

#: The full names of the services.
SERVICES: Final = tuple(service.full_name for service in pb.DESCRIPTOR.services_by_name.values())


class HooksServicer(
    MeetingMixin,
    EndpointMixin,
    DeliveryMixin,
    VerificationMixin,
    ContactMixin,
    ReplayMixin,
    CallerMixin,
    SystemMixin,
    WatchMixin,
    StatsMixin,
    EventMixin,
    EventWatchMixin,
    AuditMixin,
    EventTypeMixin,
    FilterMixin,
    PreviewMixin,
    pb_grpc.MeetingServiceServicer,
    pb_grpc.WebhookServiceServicer,
    pb_grpc.EventServiceServicer,
    pb_grpc.AuditServiceServicer,
):
    """Answers every RPC. Its ``streams`` must have the same ``webhook_service``."""

    def __init__(
        self,
        database: Database,
        streams: AudioStreams,
        watches: Watches,
        event_watches: EventWatches,
        *,
        webhook_service: WebhookService | None = None,
        endpoints: EndpointRules | None = None,
        summarize: Summarize = summarize_briefly,
        schemas: SchemaChecker | None = None,
        limits: CallerLimits | None = None,
        system: SystemWatch | None = None,
    ) -> None:
        """Without a ``webhook_service`` meetings and the audit trail work; the others refuse and name the setting.

        Without ``schemas`` the workspaces' own event types are refused. ``limits`` are those that the server keeps, for
        WhoAmI to tell.
        """
        self._database = database
        self._streams = streams
        self._watches = watches
        self._event_watches = event_watches
        self._webhook_service = webhook_service
        self._endpoints = endpoints if endpoints is not None else EndpointRules()
        self._summarize = summarize
        self._system = system if system is not None else SystemWatch(database)
        self._limits = limits if limits is not None else CallerLimits()
        self._schemas = schemas if schemas is not None else NoSchemas()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the services."""
        pb_grpc.add_MeetingServiceServicer_to_server(self, server)
        pb_grpc.add_WebhookServiceServicer_to_server(self, server)
        pb_grpc.add_EventServiceServicer_to_server(self, server)
        pb_grpc.add_AuditServiceServicer_to_server(self, server)
