"""The server: builds everything a call needs, starts it, and stops it so that no recording is left open."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from noteflow_hooks.errors import SettingsError, UnavailableError
from noteflow_hooks.rpc.auth import AuthInterceptor, Tokens
from noteflow_hooks.rpc.database import DEADLINE, Database
from noteflow_hooks.rpc.errors import ErrorInterceptor
from noteflow_hooks.rpc.heartbeat import Heartbeat
from noteflow_hooks.rpc.host import EndpointRules
from noteflow_hooks.rpc.servicer import SERVICES, HooksServicer
from noteflow_hooks.rpc.streams import AudioStreams
from noteflow_hooks.rpc.summarizer import Summarize, summarize_briefly
from noteflow_hooks.rpc.tasks import OwnedTasks, repeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports import UnitOfWork
    from noteflow_hooks.service import WebhookService

log = logging.getLogger(__name__)

_OPTIONS: Final = (
    # Two servers on one port would share its calls, silently.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # gRPC's own limit of 1,000 drops what a burst brings beyond it, as CANCELLED, which tells a caller nothing.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    # By default a call is dropped that waits for half a minute before it is looked at, as CANCELLED too.
    ("grpc.server_max_unrequested_time_in_server", 3600),
    # A caller whose network is gone is found out within 40 s, and its recording ended.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server can be told."""

    #: ``host:port``; port 0 takes a free one.
    bind: str = "127.0.0.1:50051"
    #: Whether callers may ask which services there are, without a token.
    reflection: bool = False
    endpoints: EndpointRules = field(default_factory=EndpointRules)
    summarize: Summarize = summarize_briefly
    #: The name under which recordings are kept. A server that starts ends what one of the same name left open, so
    #: two that run at once need two. Empty means the host's name and the bound address.
    name: str = ""
    #: Threads for the database: as many as its pool has connections.
    database_threads: int = 10
    #: How long the database may be silent before calls are refused.
    database_deadline: timedelta = DEADLINE
    #: How long arrived transcript segments may wait until they are stored.
    store_segments_every: timedelta = timedelta(seconds=1)
    heartbeat_every: timedelta = timedelta(seconds=5)
    #: After so long without a heartbeat a recording is ended by whichever server sees it.
    silent_for: timedelta = timedelta(seconds=15)


class HooksServer:
    """One gRPC server. :meth:`start` and :meth:`stop` are called once each, in one event loop."""

    def __init__(
        self,
        units: Callable[[], UnitOfWork],
        webhook_service: WebhookService | None,
        options: ServerOptions | None = None,
    ) -> None:
        """``webhook_service`` None switches webhooks off; the caller closes the service after :meth:`stop`."""
        self._units = units
        self._webhook_service = webhook_service
        self._options = options if options is not None else ServerOptions()
        self._tasks = OwnedTasks()
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Begin to serve and return the bound ``host:port``; raise SettingsError where it can't be bound."""
        self._database = Database(
            self._units,
            threads=self._options.database_threads,
            deadline=self._options.database_deadline,
        )
        self._server = self._make_server()
        try:
            address = _bind(self._server, self._options.bind)
            await self._add_services(self._options.name or f"{socket.gethostname()} {address}")
            await self._server.start()
        except BaseException:
            self._database.close()
            raise
        log.info("serving gRPC on %s, webhooks %s", address, "on" if self._webhook_service else "off")
        return address

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn at the database; to be asked after :meth:`start`."""
        return self._database.waiting

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Refuse new calls, end the open streams, and let the other calls finish within ``grace``."""
        await self._health.enter_graceful_shutdown()
        self._streams.halt(UnavailableError("the server is stopping; begin a new stream"))
        await self._server.stop(grace.total_seconds())
        # Its calls are over, but the recordings of some may still be on their way into the database.
        await self._tasks.drain(within=grace)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._database.close()
        log.info("the server has stopped")

    def _make_server(self) -> grpc.aio.Server:
        open_services = [health.SERVICE_NAME]
        if self._options.reflection:
            open_services.append(reflection.SERVICE_NAME)
        tokens = Tokens(self._database)
        return grpc.aio.server(
            interceptors=[
                AuthInterceptor(tokens.workspace_of, open_services=open_services),
                ErrorInterceptor(),
            ],
            options=_OPTIONS,
        )

    async def _add_services(self, name: str) -> None:
        database, service, options = self._database, self._webhook_service, self._options
        self._streams = AudioStreams(database, self._tasks, service, server=name)
        HooksServicer(
            database,
            self._streams,
            webhook_service=service,
            endpoints=options.endpoints,
            summarize=options.summarize,
        ).add_to(self._server)
        self._health = await _add_health(self._server)
        if options.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        await self._keep_recordings(name)

    async def _keep_recordings(self, name: str) -> None:
        options = self._options
        heartbeat = Heartbeat(
            self._database,
            self._streams,
            self._webhook_service,
            every=options.heartbeat_every,
            silent_for=options.silent_for,
        )
        await heartbeat.end_own(name)
        jobs = (
            (heartbeat.beat, options.heartbeat_every),
            (self._streams.store_segments, options.store_segments_every),
        )
        self._background = [asyncio.create_task(repeat(call, every=every)) for call, every in jobs]


def _bind(server: grpc.aio.Server, bind: str) -> str:
    host, _, _ = bind.rpartition(":")
    try:
        port = server.add_insecure_port(bind)
    except RuntimeError:
        port = 0
    if port == 0:
        raise SettingsError(
            f"NOTEFLOW_HOOKS_GRPC_BIND: can't listen on {bind}; it is in use, not this machine's, or not host:port"
        )
    return f"{host}:{port}"


async def _add_health(server: grpc.aio.Server) -> health.aio.HealthServicer:
    servicer = health.aio.HealthServicer()
    for name in SERVICES:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer
