"""A real receiver for tests: HTTP or HTTPS on loopback, with scripted answers, that keeps every request.

with Receiver() as receiver:
    receiver.script("/hooks", Answer(500), Answer(200))
    ...  # something that POSTs to receiver.url("/hooks")
    first, second = receiver.wait_for(2)
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.support.certificates import authority, authority_pem, server_context
from tests.support.receiver_connection import Answer, Behaviour, ReceivedRequest, ReceiverConnection, Script
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    import trustme

_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Receiver:
    """The receiver; use it as a context manager. It answers 200 where no script says otherwise."""

    def __init__(
        self,
        *,
        tls: bool = False,
        names: tuple[str, ...] = _NAMES,
        ca: trustme.CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        context: ssl.SSLContext | None = None,
        greeting: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """``names`` and ``ca`` make the certificate; ``tls_version`` is the only one spoken; ``context`` is all of it.

        ``greeting`` takes over each new connection, before any TLS. Port 0 is any free one.
        """
        made = context or server_context(ca or authority(), names, tls_version)
        self._context = made if tls or context else None
        self._greeting = greeting
        self._scripts: dict[str, list[Script]] = {}
        self._takers: dict[str, Callable[[ReceivedRequest], Answer]] = {}
        self._requests: list[ReceivedRequest] = []
        self._open: set[ReceiverConnection] = set()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._is_held = False
        #: How many connections were opened so far.
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=512)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, name="receiver", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self.release()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname()[:2]).close()  # wakes the acceptor
        self._acceptor.join()
        self._listener.close()
        with self._changed:
            for connection in self._open:
                connection.hang_up()

    @property
    def ca_pem(self) -> Path:
        """The file to trust for https, unless another authority was given."""
        return authority_pem()

    @property
    def requests(self) -> list[ReceivedRequest]:
        """All requests so far, in the order in which they came."""
        with self._changed:
            return list(self._requests)

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    def script(self, path: str, *answers: Script) -> None:
        """Answer the requests to that path with these in turn, and all further ones as the last."""
        with self._changed:
            self._scripts[path] = list(answers)

    def answer(self, path: str, take: Callable[[ReceivedRequest], Answer]) -> None:
        """Answer the requests to that path by what each says."""
        with self._changed:
            self._takers[path] = take

    def hold(self) -> None:
        """Keep all answers back until :meth:`release`; requests are recorded all the same."""
        self._is_held = True

    def release(self) -> None:
        """Let the answers go."""
        with self._changed:
            self._is_held = False
            self._changed.notify_all()

    def wait_for(self, count: int, *, path: str | None = None, timeout_s: float = PATIENCE_S) -> list[ReceivedRequest]:
        """Return the requests, to that path if one is given, once there are so many; fail when time is up."""

        def found() -> list[ReceivedRequest]:
            return [each for each in self._requests if path in (None, each.path)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout_s):
                came = ", ".join(f"{each.method} {each.target}" for each in self._requests)
                raise AssertionError(f"{len(found())} of {count} requests in {timeout_s} s; came: {came or 'none'}")
            return found()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing.is_set():
                sock.close()
                return
            self.connections += 1
            connection = ReceiverConnection(sock, number=self.connections, closing=self._closing)
            with self._changed:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="receiver-connection", daemon=True).start()

    def _serve(self, connection: ReceiverConnection) -> None:
        try:
            if self._greeting is not None:
                self._greeting(connection)
                return
            if self._context is not None:
                connection.secure(self._context)
            while (request := connection.read_request()) and self._answered(connection, request):
                pass
        except (OSError, ValueError):
            pass  # The other side went away or spoke something else, which is what many tests are about.
        finally:
            with self._changed:
                self._open.discard(connection)
            connection.close()

    def _answered(self, connection: ReceiverConnection, request: ReceivedRequest) -> bool:
        """Answer, and tell whether the connection goes on."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            scripts = self._scripts.get(request.path) or [Answer()]
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
            self._changed.wait_for(lambda: not self._is_held)
            take = self._takers.get(request.path)
        if take is not None:
            script = take(request)
        if isinstance(script, Answer):
            connection.send(script.encode())
            return True
        script(connection)
        return False


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Offer a port of loopback on which nobody listens, nor can begin to: it is taken, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
