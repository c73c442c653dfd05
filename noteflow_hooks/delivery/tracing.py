"""The span of each POST: put around what begins it where a worker is to trace, and nowhere otherwise.

An event without a trace costs a look. What is recorded is put together once the attempt is over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.traces import EventTrace
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.domain.whole_batches import FreshBatch
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.telemetry.tracing import SpanOf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.telemetry.tracing import SpanRecorder

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def traced_posts(
    begin: Callable[[Claim], Callable[[], AttemptResult]], recorder: SpanRecorder | None
) -> Callable[[Claim], Callable[[], AttemptResult]]:
    """Return the same, with each POST recorded whose event's trace is; without a recorder nothing is put around it."""
    if recorder is None:
        return begin

    def traced(claim: Claim) -> Callable[[], AttemptResult]:
        if claim.facts is None and not isinstance(claim, BatchClaim):
            return begin(claim)
        traces = [each for each in traces_of(claim) if recorder.sampling.takes(each.context)]
        end = begin(claim)
        if not traces:
            return end

        def ended() -> AttemptResult:
            result = end()
            record_post(recorder, claim, result, traces)
            return result

        return ended

    return traced


def traces_of(claim: Claim) -> Sequence[EventTrace]:
    """Return the traces of its events, each once."""
    if isinstance(claim, FreshBatch):
        columns = claim.members.columns
        found = [EventTrace.read(each, since=columns.created_at) for each in columns.traceparents]
    elif isinstance(claim, BatchClaim):
        found = [each.content.trace for each in claim.members]
    else:
        found = [None if claim.facts is None else claim.facts.trace]
    return list({each.context: each for each in found if each is not None}.values())


def record_post(recorder: SpanRecorder, claim: Claim, result: AttemptResult, traces: Sequence[EventTrace]) -> None:
    """Record an attempt: in its event's trace while that lasts, else in its own, linked to those of its events."""
    began_ns = (result.started_at - _EPOCH) // timedelta(microseconds=1) * 1_000
    what = SpanOf("POST", _attributes(claim, result), began_ns, _error(result))
    if len(traces) == 1 and traces[0].lasts_at(result.started_at):
        recorder.posted(what, traces[0].context)
    else:
        recorder.posted(what, None, [each.context for each in traces])


def _error(result: AttemptResult) -> str | None:
    """Return the kind of the error, or the status where that is the error, as the conventions want it."""
    if result.error_kind is None:
        return None
    return str(result.status_code) if result.error_kind == "status" else str(result.error_kind)


def _attributes(claim: Claim, result: AttemptResult) -> dict[str, str | int]:
    delivery, webhook = claim.delivery, claim.webhook
    known: dict[str, str | int] = {
        "http.request.method": "POST",
        **_place(webhook),
        "noteflow.workspace.id": str(webhook.workspace_id),
        "noteflow.webhook.id": str(webhook.id),
    }
    if isinstance(claim, BatchClaim):
        known |= {"noteflow.batch.id": str(claim.id), "noteflow.batch.events": len(claim.members)}
    else:
        known |= {
            "noteflow.delivery.id": str(delivery.id),
            "noteflow.event.id": str(delivery.event_id),
            "noteflow.event.type": str(delivery.event_type),
        }
    if result.status_code is not None:
        known["http.response.status_code"] = result.status_code
    if delivery.attempt_count:
        # Of those before this one.
        known["http.request.resend_count"] = delivery.attempt_count
    return known


def _place(webhook: WebhookConfig) -> dict[str, str | int]:
    """Return where it went: the host and its port, and nothing else of the URL."""
    try:
        url = parse_url(webhook.address, allow_http_loopback=True)
    except InvalidInputError:
        return {}
    return {"server.address": url.host, "server.port": url.port, "url.scheme": url.scheme}
