"""What the server answers whoever asks for its health: that it serves, and by choice only while its database does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.rpc.services.servicer import SERVICES

if TYPE_CHECKING:
    import grpc

    from noteflow_hooks.concurrency.outage import Outage

#: How long the database may refuse before the server doesn't serve.
REFUSED: Final = timedelta(seconds=10)
#: How often that is looked at.
LOOK_EVERY: Final = timedelta(seconds=1)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class ServerHealth:
    """The server's answers to ``grpc.health.v1``."""

    def __init__(self, *, outage: Outage = DATABASE, refused: timedelta = REFUSED) -> None:
        """Where :meth:`look` is called, the server is not serving while the database has refused for so long."""
        self._servicer = health.aio.HealthServicer()
        self._outage = outage
        self._refused_s = refused.total_seconds()
        self._serves = True

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Answer at this server from now on."""
        await self._set(_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def look(self) -> None:
        """Change the answers where the database has begun or ceased to answer."""
        serves = self._outage.lasts_s() < self._refused_s
        if serves is not self._serves:
            self._serves = serves
            await self._set(_SERVING if serves else _NOT_SERVING)

    async def stop(self) -> None:
        """Answer from now on that it does not serve."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, status: int) -> None:
        for name in (*SERVICES, ""):
            await self._servicer.set(name, status)
