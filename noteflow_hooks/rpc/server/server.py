"""The server: builds everything a call needs, starts it, and stops it so that no recording is left open."""

from __future__ import annotations

import asyncio
import logging
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health

from noteflow_hooks.concurrency.pulse import TURN_S
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.interceptors.counting import OWN
from noteflow_hooks.rpc.interceptors.door import DoorInterceptor
from noteflow_hooks.rpc.interceptors.measuring import MeasuringInterceptor
from noteflow_hooks.rpc.interceptors.reading import (
    MESSAGES_AT_ONCE,
    MESSAGES_PER_WORKSPACE,
    STRANGERS_AT_ONCE,
    STRANGERS_PER_ADDRESS,
    ReadBudget,
)
from noteflow_hooks.rpc.interceptors.strangers import StrangerInterceptor
from noteflow_hooks.rpc.interceptors.tokens import TokenCache
from noteflow_hooks.rpc.interceptors.tracing import TracingInterceptor
from noteflow_hooks.rpc.runtime.after_answer import AfterAnswers
from noteflow_hooks.rpc.runtime.database import Database
from noteflow_hooks.rpc.runtime.gone import expect_gone_callers
from noteflow_hooks.rpc.runtime.system_watch import SystemWatch
from noteflow_hooks.rpc.runtime.tasks import OwnedTasks, repeat
from noteflow_hooks.rpc.server import reflection
from noteflow_hooks.rpc.server.health import LOOK_EVERY, ServerHealth
from noteflow_hooks.rpc.server.options import ServerOptions
from noteflow_hooks.rpc.server.transport import CALLS_AT_ONCE, arguments, listen, refuse_plaintext
from noteflow_hooks.rpc.services.servicer import SERVICES, HooksServicer
from noteflow_hooks.rpc.streaming.heartbeat import Heartbeat
from noteflow_hooks.rpc.streaming.streams import AudioStreams
from noteflow_hooks.rpc.watching.event_watches import EventWatches
from noteflow_hooks.rpc.watching.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


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
        self._group = self._options.group
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Begin to serve and return the bound ``host:port``; raise SettingsError where it can't be bound."""
        self._database = Database(
            self._units,
            threads=self._options.database_threads,
            reads_share=self._options.reads_share,
            deadline=self._options.database_deadline,
            in_loop=self._options.in_loop,
        )
        self._after = AfterAnswers()
        if self._webhook_service is not None:
            self._webhook_service.put_off_by(self._after.put_off)
        self._server = self._make_server()
        try:
            address = await self._listen()
            await self._add_services(self._options.name or self._name_at(address))
            await self._server.start()
            if self._group is not None:
                self._group.serve()
        except BaseException:
            self._database.close()
            raise
        tls = "with TLS" if self._options.tls is not None else "without TLS"
        log.info("serving gRPC on %s %s, webhooks %s", address, tls, "on" if self._webhook_service else "off")
        return address

    @property
    def backlog(self) -> int:
        """How many calls wait for a thread of the database. There after :meth:`start`."""
        return self._database.waiting

    async def stop(self, grace: timedelta = timedelta(seconds=5)) -> None:
        """Refuse new calls, end the open streams, and let the other calls finish within ``grace``."""
        await self._health.stop()
        self._streams.halt(UnavailableError("the server is stopping; begin a new stream"))
        self._watches.halt(UnavailableError("the server is stopping; watch again, with the last message's at as since"))
        self._event_watches.halt(
            UnavailableError("the server is stopping; watch again, with the last message's cursor")
        )
        await self._server.stop(grace.total_seconds())
        # Its calls are over, but some recordings may not be stored yet.
        await self._tasks.drain(within=grace)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._database.finish()
        self._database.close()
        self._after.close()
        if self._group is not None:
            self._group.close()
        log.info("the server has stopped")

    def _name_at(self, address: str) -> str:
        # The same after a restart, and each number's own: so a server ends what its dead predecessor recorded, and
        # nothing that others of its group record.
        number = "" if self._group is None else f" {self._group.number}"
        return f"{socket.gethostname()} {address}{number}"

    def _make_server(self) -> grpc.aio.Server:
        open_services = [health.SERVICE_NAME]
        if self._options.reflection:
            open_services.extend(reflection.NAMES)
        self._tokens = TokenCache(self._database, self._tasks)
        limits, counting = self._options.limits, OWN if self._group is None else self._group.counting
        strangers = ReadBudget(most=STRANGERS_AT_ONCE, per_key=STRANGERS_PER_ADDRESS)
        self._reads = ReadBudget(most=MESSAGES_AT_ONCE, per_key=MESSAGES_PER_WORKSPACE)
        expect_gone_callers()
        figures, recorder = self._options.figures, self._options.recorder
        return grpc.aio.server(
            interceptors=[
                *(() if recorder is None else (TracingInterceptor(recorder),)),
                *(() if figures is None else (MeasuringInterceptor(figures),)),
                DoorInterceptor(self._tokens, self._reads, limits, open_services=open_services, counting=counting),
                StrangerInterceptor(limits, strangers, counting),
            ],
            options=arguments(self._options.channel, shares_port=self._group is not None),
            maximum_concurrent_rpcs=CALLS_AT_ONCE,
        )

    async def _listen(self) -> str:
        options = self._options
        if options.tls is None and not options.plaintext:
            # In a thread, since a name may have to be looked up.
            await asyncio.to_thread(refuse_plaintext, options.bind)
        return listen(self._server, bind=options.bind, tls=options.tls)

    async def _add_services(self, name: str) -> None:
        database, service, options = self._database, self._webhook_service, self._options
        siblings = None if self._group is None else self._group.siblings(self._tasks)
        self._streams = AudioStreams(database, self._tasks, service, server=name, reads=self._reads, siblings=siblings)
        if siblings is not None:
            siblings.listen(self._streams.stop_here)
        self._watches = Watches(database, heartbeat_s=options.watch_heartbeat.total_seconds())
        heartbeat_s, filters = options.watch_heartbeat.total_seconds(), options.endpoints.filters
        self._event_watches = EventWatches(database, heartbeat_s=heartbeat_s, filters=filters)
        HooksServicer(
            database,
            self._streams,
            self._watches,
            self._event_watches,
            webhook_service=service,
            endpoints=options.endpoints,
            summarize=options.summarize,
            schemas=options.schemas,
            limits=options.limits,
            system=SystemWatch(database, periods=options.periods, redis_answers=options.redis_answers),
        ).add_to(self._server)
        self._health = ServerHealth()
        await self._health.add_to(self._server)
        if options.reflection:
            reflection.enable_reflection((*SERVICES, health.SERVICE_NAME), self._server)
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
        jobs: tuple[tuple[Callable[[], Awaitable[object]], timedelta], ...] = (
            (heartbeat.beat, options.heartbeat_every),
            (self._streams.store_segments, options.store_segments_every),
            (self._streams.check_tokens, options.check_tokens_every),
            (self._tokens.refresh, options.check_tokens_every),
            (self._watches.look, options.look_every),
            (self._watches.check_tokens, options.check_tokens_every),
            (self._event_watches.look, options.look_every),
            (self._event_watches.check_tokens, options.check_tokens_every),
        )
        jobs += ((self._health.look, LOOK_EVERY),) if options.needs_database else ()
        self._background = [asyncio.create_task(repeat(call, every=every)) for call, every in jobs]
        if options.show_life is not None:
            self._background.append(asyncio.create_task(_show(options.show_life)))


async def _show(show_life: Callable[[], None]) -> None:
    """Show again and again that the event loop turns."""
    while True:
        show_life()
        await asyncio.sleep(TURN_S)
