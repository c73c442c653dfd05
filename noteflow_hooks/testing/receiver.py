"""A receiver on loopback that verifies what is posted to it, and keeps it: what deliveries go to in a test."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

from noteflow_hooks.signing import DEFAULT_TOLERANCE_S, PUBLIC_KEY_PREFIX, verify_signature, verify_standard
from noteflow_hooks.testing.samples import SECRET

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

#: How long a test waits for what must come.
_PATIENCE_S: Final = 10.0
_NEEDED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True, slots=True)
class Received:
    """A request that was verified."""

    type: str
    #: The event's id, the same on every attempt.
    id: str
    body: bytes
    #: The request's headers, their names in lower case.
    headers: Mapping[str, str]
    #: The path, with its query.
    path: str

    @property
    def payload(self) -> dict[str, Any]:
        """What the body says."""
        payload: dict[str, Any] = json.loads(self.body)
        return payload


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that was not: ``reason`` is ``missing_header``, ``too_old`` or ``no_match``."""

    reason: str
    body: bytes
    headers: Mapping[str, str]


class Receiver:
    """Answers 204 to what verifies, or what :meth:`answer_with` says, and 401 to what does not.

    It gives back the challenge of a ``webhook.verification``, so that an endpoint of it can be verified. It listens
    from the beginning of its ``with`` block to the end, at a port of its own.
    """

    def __init__(
        self,
        *secrets: str,
        tolerance_s: float = DEFAULT_TOLERANCE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take the endpoint's secrets and public keys (``whpk_…``), of which one must fit; by default the samples'.

        ``tls`` is a server's context with its certificate, for https.
        """
        self.secrets: Sequence[str] = secrets or (SECRET,)
        #: What was verified, in the order in which it came; a retry is there as often as it came.
        self.received: list[Received] = []
        #: What was not verified.
        self.refused: list[Refused] = []
        self._tolerance_s = tolerance_s
        self._answers: list[int] = []
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.take = self._take
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme, name = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
        #: Where it listens.
        self.url = f"{scheme}://{name}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def answer_with(self, *statuses: int) -> None:
        """Answer the next verified requests with these status codes, such as 503 for a retry; then with 204 again."""
        with self._changed:
            self._answers.extend(statuses)

    def wait_for(self, event_type: str | None = None, *, count: int = 1, timeout_s: float = _PATIENCE_S) -> Received:
        """Wait until so many requests were verified, of that type or of any; return the last of them.

        Raises TimeoutError, with what has come, where they don't come in time.
        """

        def found() -> list[Received]:
            return [each for each in self.received if event_type in (None, each.type)]

        with self._changed:
            if self._changed.wait_for(lambda: len(found()) >= count, timeout_s):
                return found()[count - 1]
        came = [each.type for each in self.received]
        refused = [each.reason for each in self.refused]
        raise TimeoutError(f"{count} of {event_type or 'any type'} did not come; received {came}, refused {refused}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Keep a request, and return the status code and the body of the answer."""
        reason = self._problem(headers, body)
        with self._changed:
            if reason is not None:
                self.refused.append(Refused(reason, body, headers))
                return 401, reason.encode()
            kind = headers.get("x-noteflow-event", "")
            self.received.append(Received(kind, headers["webhook-id"], body, headers, path))
            status = self._answers.pop(0) if self._answers else 204
            self._changed.notify_all()
        if kind == "webhook.verification" and status == 204:  # noqa: PLR2004 - what it answers otherwise
            return 200, str(json.loads(body)["challenge"]).encode()
        return status, b""

    def _problem(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return what is wrong with a request; None where it verifies, by each signature that it has."""
        if any(name not in headers for name in _NEEDED):
            return "missing_header"
        if not any(verify_standard(body, headers, each, tolerance_s=self._tolerance_s) for each in self.secrets):
            is_late = any(verify_standard(body, headers, each, tolerance_s=float("inf")) for each in self.secrets)
            return "too_old" if is_late else "no_match"
        plain = headers.get("x-noteflow-signature")
        secrets = [each for each in self.secrets if not each.startswith(PUBLIC_KEY_PREFIX)]
        if plain is None or not secrets or any(verify_signature(body, plain, each) for each in secrets):
            return None
        return "no_match"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    take: Callable[[str, Mapping[str, str], bytes], tuple[int, bytes]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: A connection that says nothing for so long is closed.
    timeout = 60

    def do_POST(self) -> None:
        """Answer a request."""
        assert isinstance(self.server, _Server)  # noqa: S101 - no other server has this handler
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = self.server.take(self.path, headers, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
