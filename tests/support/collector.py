"""A collector of traces on loopback: it takes OTLP over HTTP as any does, and keeps the spans that came."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class Came(NamedTuple):
    """A span as it came."""

    program: str
    name: str
    trace: str
    span: str
    parent: str
    #: The traces that it is linked to.
    links: tuple[str, ...]
    attributes: Mapping[str, str | int]
    failed: bool
    took_ns: int


class Collector:
    """Use it as a context manager."""

    def __init__(self) -> None:
        self.spans: list[Came] = []
        #: All that came, as bytes, to be searched.
        self.bodies: list[bytes] = []
        #: The headers of the last request.
        self.headers: Mapping[str, str] = {}
        #: What it answers.
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be there no more."""
        self._server.shutdown()
        self._server.server_close()

    def of(self, trace: str, name: str, count: int = 1) -> list[Came]:
        """Return the spans of that name in a trace, or linked to it, once there are so many."""

        def found() -> list[Came]:
            return [each for each in list(self.spans) if each.name == name and trace in (each.trace, *each.links)]

        until(lambda: len(found()) >= count, what=f"{count} spans {name!r} of trace {trace}")
        return found()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.headers = dict(self.headers)
                if collector.status == 200:
                    assert self.path == "/v1/traces"
                    collector.bodies.append(body)
                    collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _spans(request: ExportTraceServiceRequest) -> list[Came]:
    return [
        Came(
            program=str(_values(own.resource.attributes)["service.name"]),
            name=span.name,
            trace=span.trace_id.hex(),
            span=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            links=tuple(link.trace_id.hex() for link in span.links),
            attributes=_values(span.attributes),
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            took_ns=span.end_time_unix_nano - span.start_time_unix_nano,
        )
        for own in request.resource_spans
        for scope in own.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, str | int]:  # noqa: ANN401 - protobuf's repeated fields
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}
