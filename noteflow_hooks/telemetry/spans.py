"""The spans, made by OpenTelemetry's SDK; imported only in a process that traces.

Whether something is recorded is decided in :mod:`noteflow_hooks.telemetry.sampling` before: here all of it is. No
attribute has a secret, a URL beyond its host, or anything of a payload. docs/traces.md lists them.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context
from typing_extensions import override

from noteflow_hooks import __version__
from noteflow_hooks.telemetry.traceparent import TraceContext
from noteflow_hooks.telemetry.tracing import ServedSpan, SpanRecorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

    from noteflow_hooks.telemetry.sampling import Sampling
    from noteflow_hooks.telemetry.tracing import SpanOf

#: The most links of a span: a page of 500 events may have as many traces.
LINKS_LIMIT: Final = 128
_SDK: Final = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": sdk_version,
}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Tracer(SpanRecorder):
    """Records what one process does."""

    def __init__(self, processor: SpanProcessor, sampling: Sampling, *, resource: Mapping[str, str]) -> None:
        """Spans go to ``processor``; ``resource`` says which program this is."""
        self.sampling = sampling
        self._processor = processor
        self._ids = _DrawnIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            # Without the SDK's detectors, which look through all that is installed.
            resource=Resource(_SDK | dict(resource)),
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=LINKS_LIMIT),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("noteflow_hooks", __version__)

    def served(self, name: str, attributes: Mapping[str, str | int], caller: TraceContext | None) -> ServerSpan | None:
        """Begin a call's span, which belongs to its caller's trace; None where that one is not recorded."""
        if caller is None:
            trace_id = self.sampling.new_trace(random.getrandbits)
            if trace_id is None:
                return None
            self._ids.next_trace_id = trace_id
        elif not self.sampling.takes(caller):
            return None
        return ServerSpan(self._tracer.start_span(name, _context(caller), SpanKind.SERVER, attributes))

    def dispatched(self, what: SpanOf, traceparents: str) -> None:
        """Record a round of dispatching, linked to the traces of its events, of which some are recorded."""
        texts = dict.fromkeys(traceparents.split(","))
        found = [each for text in texts if (each := TraceContext.read(text)) is not None and self.sampling.takes(each)]
        if found:
            self._record(what, SpanKind.CONSUMER, parent=None, links=found[:LINKS_LIMIT])

    def posted(self, what: SpanOf, parent: TraceContext | None, links: Iterable[TraceContext] = ()) -> None:
        """Record a POST, as part of a trace or, with links, as one of its own."""
        self._record(what, SpanKind.CLIENT, parent=parent, links=links)

    def close(self) -> None:
        """Send what waits to be sent, for as long as the processor takes for that."""
        self._processor.shutdown()

    def _record(
        self, what: SpanOf, kind: SpanKind, *, parent: TraceContext | None, links: Iterable[TraceContext]
    ) -> None:
        linked = [Link(_span_context(each)) for each in links]
        span = self._tracer.start_span(what.name, _context(parent), kind, what.attributes, linked, what.began_ns)
        _end(span, what.error)


class ServerSpan(ServedSpan):
    """A call's span while the call is answered."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        """It has begun."""
        self._span = span
        own = span.get_span_context()
        #: Where its trace goes on.
        self.traceparent = TraceContext(own.trace_id, own.span_id, is_sampled=True).text

    def end(self, code: str, *, error: bool) -> None:
        """End it, with gRPC's code."""
        self._span.set_attribute("rpc.response.status_code", code)
        _end(self._span, code if error else None)


class _DrawnIds(RandomIdGenerator):
    """Gives new traces the id by which it was decided that they are recorded."""

    #: Of the next trace; None where nobody has drawn one.
    next_trace_id: int | None = None

    @override
    def generate_trace_id(self) -> int:
        drawn, self.next_trace_id = self.next_trace_id, None
        return super().generate_trace_id() if drawn is None else drawn


def _end(span: Span, error: str | None) -> None:
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(time.time_ns())


def _span_context(of: TraceContext) -> SpanContext:
    return SpanContext(of.trace_id, of.span_id, is_remote=True, trace_flags=_SAMPLED if of.is_sampled else TraceFlags())


def _context(parent: TraceContext | None) -> Context:
    # Of nothing else: whatever this thread does beside it is no part of it.
    return Context() if parent is None else set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())
