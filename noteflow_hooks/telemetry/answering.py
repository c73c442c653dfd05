"""Answers `GET /metrics`, in a thread of the process that has the figures; imported only where a setting asks for it.

With Prometheus' own small server, each start would ask a name server for this host's name, and nothing bounds who asks.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

#: So often a port is tried that somebody else has, as the worker does that this one replaces.
_TRY_EVERY_S: Final = 5.0
#: Who asks must do so, and take the answer, within this.
_PATIENCE_S: Final = 10.0
#: So many are answered at once; one Prometheus asks once at a time.
_AT_ONCE: Final = 8


class MetricsServer:
    """Answers at one address from :meth:`start` on, until the process ends."""

    def __init__(self, bind: str, collector: Collector) -> None:
        """``bind`` is an address and a port; port 0 takes a free one."""
        self._bind = bind
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._closing = threading.Event()
        self._server: _Server | None = None

    def start(self) -> None:
        """Begin to answer; where the port can't be had, say so once, and go on trying beside all else."""
        if not self._try(first=True):
            threading.Thread(target=self._try_on, name="metrics", daemon=True).start()

    def listen(self) -> str:
        """Begin to listen and return the address; raise OSError where it can't be had."""
        host, _, port = self._bind.rpartition(":")
        self._server = _Server(host.removeprefix("[").removesuffix("]"), int(port), self.text)
        # A child that outlives this process must not keep the port.
        os.register_at_fork(after_in_child=self._server.socket.close)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self._server.address

    def text(self) -> bytes:
        """Return what is answered now."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Answer no more."""
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _try(self, *, first: bool = False) -> bool:
        try:
            address = self.listen()
        except OSError as error:
            if first:
                log.warning(
                    "METRICS_BIND is '%s': can't listen there (%s), so this process answers no /metrics until it can; "
                    "give each on this host a port of its own, or port 0",
                    self._bind,
                    (error.strerror or str(error)).partition(" (")[0],
                )
            return False
        log.info("/metrics is answered on %s", address)
        return True

    def _try_on(self) -> None:
        while not self._closing.wait(_TRY_EVERY_S):
            if self._try():
                return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # As Python's own on other systems: a port that another process listens at is refused all the same.
    allow_reuse_address = True

    def __init__(self, host: str, port: int, text: Callable[[], bytes]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.text = text
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks a name server what this host is called.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # typed for unix sockets, too

    @property
    def address(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: object) -> None:
        log.debug("a scrape was broken off")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"metrics are at /metrics\n", "text/plain; charset=utf-8")
            return
        self._answer(200, self.server.text(), CONTENT_TYPE_LATEST)

    def version_string(self) -> str:
        return "noteflow-hooks"

    def log_message(self, *_: object) -> None:
        """Say nothing: somebody asks every few seconds."""

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
