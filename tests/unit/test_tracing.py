"""Traces: what a header says, what is recorded, what a POST's span is part of, and how spans are lost and told of."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from noteflow_hooks.concurrency.outage import Outage
from noteflow_hooks.delivery.tracing import traced_posts
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.events import traced
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.renderings import EventFacts
from noteflow_hooks.domain.traces import TRACE_LASTS, EventTrace
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.persistence.sql.renderings import facts_of
from noteflow_hooks.settings import TraceSettings
from noteflow_hooks.telemetry.exporting import CountingProcessor, span_processor
from noteflow_hooks.telemetry.sampling import SAMPLERS, Sampling
from noteflow_hooks.telemetry.traceparent import TraceContext
from tests.support.builders import a_delivery, a_failure, a_webhook, an_attempt_result, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from noteflow_hooks.domain.deliveries import AttemptResult
    from noteflow_hooks.telemetry.tracing import SpanOf

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE}-{SPAN}-01"
NOW: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Recorded:
    """Keeps what it is told."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.posts: list[tuple[SpanOf, TraceContext | None, list[TraceContext]]] = []

    def posted(self, what: SpanOf, parent: TraceContext | None, links: Iterable[TraceContext] = ()) -> None:
        self.posts.append((what, parent, list(links)))

    def served(self, *_: object) -> None:
        raise NotImplementedError

    def dispatched(self, *_: object) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def a_claim(traceparent: str | None, *, since: datetime = NOW, **delivery: Any) -> Claim:  # noqa: ANN401 - a delivery's fields
    facts = EventFacts(None, NOW).traced(traceparent, since=since)
    return Claim(a_delivery(**delivery), a_webhook(url="https://crm.example:8443/a?b"), b"{}", facts=facts)


def posts(
    claim: Claim, result: AttemptResult, sampling: Sampling | None = None
) -> list[tuple[SpanOf, TraceContext | None, list[TraceContext]]]:
    """Return what is recorded of an attempt that comes to this result."""
    recorded = Recorded(sampling or Sampling("parentbased_traceidratio", 0.0))
    begin = traced_posts(lambda _: lambda: result, recorded)
    assert begin(claim)() is result
    return recorded.posts


@pytest.mark.parametrize(
    "text",
    [
        "", "x", TRACEPARENT + "-more", TRACEPARENT + "\r\nEvil: 1", TRACEPARENT.upper(), f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-1", f"01-{TRACE}-{SPAN}-01\r\n",
    ],
)  # fmt: skip
def test_what_the_specification_has_not_is_no_trace(text: str) -> None:
    """Neither what is malformed, nor zeros, nor what would end a line of a request's head."""
    assert TraceContext.read(text) is None
    assert EventFacts(None, NOW).traced(text, since=NOW).trace is None


def test_a_header_is_read_and_written() -> None:
    """One of a later version as one of the first: with what that has."""
    found = TraceContext.read(TRACEPARENT)
    assert found == (int(TRACE, 16), int(SPAN, 16), True)
    assert found is not None
    assert found.text == TRACEPARENT
    later = TraceContext.read(f"42-{TRACE}-{SPAN}-02-what")
    assert later is not None
    assert later.text == f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    ("sampler", "of_sampled", "of_others", "new"),
    [
        ("always_on", True, True, True),
        ("always_off", False, False, False),
        ("parentbased_always_on", True, False, True),
        ("parentbased_always_off", True, False, False),
        ("parentbased_traceidratio", True, False, False),
        # The low half of the trace's id is above the half of all.
        ("traceidratio", False, False, False),
    ],
)
def test_samplers_do_as_their_names_say(sampler: str, *, of_sampled: bool, of_others: bool, new: bool) -> None:
    """As OpenTelemetry has them: a caller's word counts where the name says so."""
    assert sampler in SAMPLERS
    sampling, caller = Sampling(sampler, 0.5), TraceContext(int(TRACE, 16), 1, is_sampled=True)
    assert sampling.takes(caller) is of_sampled
    assert sampling.takes(caller._replace(is_sampled=False)) is of_others
    assert (sampling.new_trace(lambda bits: (1 << bits) - 1) is not None) is new


def test_a_new_traces_id_is_one_that_the_share_takes() -> None:
    """So whoever goes by the id in another process comes to the same."""
    sampling = Sampling("traceidratio", 0.25)
    found = [sampling.new_trace(partial(_drawn, n)) for n in range(16)]
    kept = [each for each in found if each is not None]
    assert len(kept) == 4
    assert all(sampling.takes(TraceContext(each, 1, is_sampled=False)) for each in kept)


def _drawn(number: int, bits: int) -> int:
    return number << (bits - 4)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, None),
        ({"traces_exporter": "otlp"}, "http://localhost:4318/v1/traces"),
        ({"exporter_otlp_endpoint": "http://c:1/base/"}, "http://c:1/base/v1/traces"),
        ({"exporter_otlp_endpoint": "http://c:1", "exporter_otlp_traces_endpoint": "http://d/x"}, "http://d/x"),
        ({"exporter_otlp_endpoint": "http://c:1", "traces_exporter": "none"}, None),
        ({"exporter_otlp_endpoint": "http://c:1", "sdk_disabled": True}, None),
    ],
)
def test_who_names_a_collector_traces(given: dict[str, Any], url: str | None) -> None:
    """And nobody else."""
    plan = TraceSettings.load(**given).plan
    assert (None if plan is None else plan.url) == url


def test_a_bad_variable_is_named_as_opentelemetry_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it may hold, and without what may be a secret."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "2")
    with pytest.raises(SettingsError, match=r"^OTEL_TRACES_SAMPLER_ARG is '2'; it may hold a number from 0 to 1$"):
        TraceSettings.load()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS is a value that is not shown here"):
        TraceSettings.load()


def test_a_post_is_part_of_its_events_trace_for_an_hour() -> None:
    """Then it has one of its own, with a link."""
    context = TraceContext.read(TRACEPARENT)
    for age, parent, links in ((TRACE_LASTS, None, [context]), (TRACE_LASTS - timedelta(seconds=1), context, [])):
        result = an_attempt_result(started_at=NOW + age)
        [(what, found, linked)] = posts(a_claim(TRACEPARENT), result)
        assert (found, linked) == (parent, links)
        assert what.began_ns == int((NOW + age).timestamp()) * 10**9


def test_a_post_says_where_it_went_and_what_came_and_no_more() -> None:
    """Of the URL the host and its port; of a failure its kind, and of an answer its status."""
    [(what, _, _)] = posts(a_claim(TRACEPARENT, attempt_count=2), a_failure(status_code=503))
    assert {name: value for name, value in what.attributes.items() if not name.startswith("noteflow.")} == {
        "http.request.method": "POST",
        "http.request.resend_count": 2,
        "http.response.status_code": 503,
        "server.address": "crm.example",
        "server.port": 8443,
        "url.scheme": "https",
    }
    assert what.error == "503"


def test_what_is_not_recorded_is_not_put_together() -> None:
    """Whether it has a trace that is not sampled, or none; and without a recorder nothing is put around a POST."""
    result = an_attempt_result()
    assert posts(a_claim(TRACEPARENT[:-1] + "0"), result) == []
    assert posts(a_claim(None), result) == []
    assert posts(replace(a_claim(None), facts=None), result) == []

    def begin(_: Claim) -> Any:  # noqa: ANN401 - never called
        raise NotImplementedError

    assert traced_posts(begin, None) is begin
    event = an_event()
    assert traced(event) is event


def test_an_endpoint_is_told_of_a_trace_by_choice() -> None:
    """What an earlier release let an owner set in its place gives way; others get nothing of it."""
    headers = (("traceparent", "mine"), ("TraceState", "mine"), ("X-Own", "1"))
    claim = a_claim(TRACEPARENT)
    heads = {}
    for tells in (False, True):
        webhook = replace(claim.webhook, headers=headers, options=EndpointOptions(send_traceparent=tells))
        endpoint = PreparedEndpoint(webhook, user_agent="x", allow_http_loopback=False)
        heads[tells] = [request_of(endpoint, each, NOW).head.decode() for each in (claim, a_claim(None))]
    assert all("traceparent: mine\r\n" in head and TRACE not in head for head in heads[False])
    with_one, without = heads[True]
    assert with_one.count(f"\r\ntraceparent: {TRACEPARENT}\r\n") == 1
    assert (with_one + without).lower().count("traceparent") == 1
    assert "tracestate" not in (with_one + without).lower()
    assert all(head.endswith("X-Own: 1\r\n\r\n") for head in (with_one, without))


def test_a_trace_that_a_row_may_not_hold_is_none() -> None:
    """The rest of what renderers need is there all the same."""
    moment = NOW.isoformat()
    found = facts_of(f'["m", "{moment}", "00-x\\r\\nEvil: 1", "{moment}"]')
    assert found == EventFacts("m", NOW)
    assert facts_of(f'["m", "{moment}", "{TRACEPARENT}", "{moment}"]') == EventFacts(
        "m", NOW, EventTrace(TraceContext(int(TRACE, 16), int(SPAN, 16), is_sampled=True), NOW)
    )


def test_an_unreachable_collector_is_told_of_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, whatever comes; what is lost is counted, and nothing of the SDK's own is logged."""
    plan = TraceSettings.load(exporter_otlp_endpoint="http://127.0.0.1:9/secret-path", exporter_otlp_timeout=0.1).plan
    assert plan is not None

    def refuse(*_: object, **__: object) -> None:
        raise requests.ConnectionError("/secret-path") from ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(requests.Session, "request", refuse)
    outage = Outage("the collector of traces", safe="deliveries go on")
    processor = span_processor(plan, outage)
    tracer = TracerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(processor)
    for _ in range(3):
        tracer.get_tracer("test").start_span("x").end()
        processor.force_flush()
    processor.shutdown()
    assert [each.getMessage() for each in caplog.records] == [
        "the collector of traces refuses: Connection refused; 1 lost since it last did; deliveries go on"
    ]


def test_what_a_full_queue_drops_is_counted() -> None:
    """Nobody waits for room, and what was there longest goes."""

    class Stuck(SpanExporter):
        lost = 0
        came: int = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.came += len(spans)
            return SpanExportResult.SUCCESS

    plan = TraceSettings.load(traces_exporter="otlp", bsp_max_queue_size=2, bsp_schedule_delay=600_000).plan
    assert plan is not None
    exporter: Any = Stuck()
    processor = CountingProcessor(exporter, plan._replace(batch=2))
    processor._batch_processor._worker_awaken.set = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 - it never looks
    tracer = TracerProvider(shutdown_on_exit=False)
    tracer.add_span_processor(processor)
    for _ in range(5):
        tracer.get_tracer("test").start_span("x").end()
    assert exporter.lost == 3
    processor.force_flush()
    until(lambda: exporter.came == 2, what="what is left is sent")


def test_a_process_that_does_not_trace_imports_nothing_of_it() -> None:
    """Neither a server nor a command; for a worker see the test of its imports."""
    program = (
        "import sys, noteflow_hooks.cli.support.serving, noteflow_hooks.cli.commands.doctor\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout == "[]\n"
