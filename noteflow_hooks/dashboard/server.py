"""The web server around the application: one socket, in the foreground, that ends at once when it is told to."""

from __future__ import annotations

import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

#: Requests at once; more are answered with 503.
_AT_ONCE: Final = 200
#: How long an answer that is under way may take once the server is told to end.
_GRACE_S: Final = 1


class DashboardServer(uvicorn.Server):
    """uvicorn's server, which calls ``closing`` when it is told to end, and leaves signals as it found them."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: calls to the gRPC server are cancelled, so that no page waits for them."""
        self._closing()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at SIGINT and SIGTERM. uvicorn's own raises them once more when it has ended."""
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def server(
    app: ASGIApp,
    *,
    ready: Callable[[], None],
    closing: Callable[[], None],
    cert: Path | None = None,
    key: Path | None = None,
) -> DashboardServer:
    """Return a server whose ``run`` takes sockets that listen already; with a certificate and its key it speaks TLS."""
    # Paths hold ids, and one of them the code of a link: nothing of requests is logged.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        loop="asyncio",
        http="h11",
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    return DashboardServer(config, ready=ready, closing=closing)
