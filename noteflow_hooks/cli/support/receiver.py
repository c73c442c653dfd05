"""An HTTP or HTTPS receiver on loopback, for `listen` and `demo`; what to answer is the caller's business."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from email.message import Message
    from types import TracebackType

HOST: Final = "127.0.0.1"
#: Far more than any payload has.
_BODY_LIMIT: Final = 1024 * 1024
_TOO_LARGE: Final = 413
#: What a request is answered that can't be read.
UNREADABLE: Final = 400
_IDLE_S: Final = 60
_LENGTH: Final = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Received:
    """One POST. The headers' names are in lower case."""

    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """An answer with a body, which is JSON."""

    status: int
    body: bytes


class Receiver:
    """Answers each POST with what ``answer`` returns: a status, or also a body. Each connection has its own thread."""

    def __init__(
        self, answer: Callable[[Received], int | Reply], *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """Take the port, 0 for any free one; raise OSError where it is not free."""
        self._scheme = "http" if tls is None else "https"
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer), "tls": tls})
        self._server = _Server((HOST, port), handler)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"{self._scheme}://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Serve in this thread, until interrupted."""
        self._server.serve_forever()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Threads of connections that are kept open must not keep the process.
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """Say nothing of callers that go away or speak no TLS."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else what is no request is answered as HTTP/0.9 was: without a status.
    default_request_version = "HTTP/1.1"
    timeout = _IDLE_S
    tls: ssl.SSLContext | None
    answer: Callable[[Received], int | Reply]

    def setup(self) -> None:
        if self.tls is not None:
            # Here and not where connections are accepted: a slow handshake holds up nobody else.
            self.request.settimeout(self.timeout)
            self.request = self.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def do_POST(self) -> None:
        length = _length(self.headers)
        body = self.rfile.read(length) if length is not None and length <= _BODY_LIMIT else b""
        if length is None or len(body) < length:
            # Where the next request begins is not known.
            self.close_connection = True
            self._reply(UNREADABLE if length is None or length <= _BODY_LIMIT else _TOO_LARGE)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._reply(type(self).answer(Received(headers, body)))

    def _reply(self, answer: int | Reply) -> None:
        status, body = answer if isinstance(answer, Reply) else (answer, b"")
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's signature
        """Say nothing: what came is shown by whoever answers."""


def _length(headers: Message) -> int | None:
    """Return the body's length; None where the headers don't say it, or not in a way that is understood here."""
    lengths = set(headers.get_all("content-length", ["0"]))
    if "transfer-encoding" in headers or len(lengths) > 1:
        return None
    [length] = lengths
    return int(length) if _LENGTH.fullmatch(length) else None
