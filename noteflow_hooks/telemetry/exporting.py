"""Sends spans to a collector, by OTLP over HTTP, in a thread of its own; imported only in a process that traces.

Nothing waits for it: what the queue has no room for is dropped and counted, and what a collector refuses, too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from requests import RequestException, Session
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from noteflow_hooks.telemetry.trace_plan import TracePlan

#: How long a process that ends waits for its last spans to be taken.
CLOSING_MS: Final = 2_000
#: What the SDK says by itself, once for each batch: here an outage is told once, and then counted.
_ITS_LOGS: Final = ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter")


class Refusals(Protocol):
    """Where it is noted that the collector refuses, and that it answers."""

    since: float | None

    def refused(self, reason: str) -> None:
        """Note a refusal."""

    def answered(self) -> None:
        """Note an answer."""


def span_processor(plan: TracePlan, refusals: Refusals) -> CountingProcessor:
    """Return what takes spans and sends them; to be made in the process that uses it, behind any fork."""
    for name in _ITS_LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    session = _TellingSession()
    exporter = OTLPSpanExporter(plan.url, headers=dict(plan.headers), timeout=plan.timeout_s, session=session)
    return CountingProcessor(_TellingExporter(exporter, session, refusals), plan)


class CountingProcessor(BatchSpanProcessor):
    """The SDK's own, which counts what its full queue drops, and waits for no collector for long as it ends."""

    def __init__(self, exporter: _TellingExporter, plan: TracePlan) -> None:
        """Begin to send what comes."""
        self._most = plan.queue
        self._exporter = exporter
        super().__init__(exporter, plan.queue, plan.every_ms, plan.batch)

    @override
    def on_end(self, span: ReadableSpan) -> None:
        if len(self._batch_processor._queue) >= self._most:  # noqa: SLF001 - the SDK counts only in a metric of its own
            self._exporter.lost += 1
        super().on_end(span)

    @override
    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=CLOSING_MS)


class _TellingSession(Session):
    """Requests' own, which remembers why a request has failed: without any URL, which may hold a credential."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "it took no spans"

    @override
    def request(self, *args: Any, **kwargs: Any) -> Any:
        try:
            response = super().request(*args, **kwargs)
        except RequestException as error:
            self.last = _reason(error)
            raise
        self.last = f"HTTP {response.status_code}"
        return response


class _TellingExporter(SpanExporter):
    """Sends by another one, and tells what came of it."""

    def __init__(self, exporter: SpanExporter, session: _TellingSession, refusals: Refusals) -> None:
        self._exporter = exporter
        self._session = session
        self._refusals = refusals
        #: How many spans were dropped since the collector last took some.
        self.lost = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
            reason = self._session.last
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, the thread that sends goes on
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        if result is SpanExportResult.SUCCESS:
            self.lost = 0
            if self._refusals.since is not None:
                self._refusals.answered()
        else:
            self.lost += len(spans)
            self._refusals.refused(f"{reason}; {self.lost} lost since it last did")
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _reason(error: BaseException) -> str:
    """Return what the system says, where it says something."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return type(error).__name__
