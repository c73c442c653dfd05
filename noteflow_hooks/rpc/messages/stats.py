"""From what GetStats is asked for to a query, and from what was counted to its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.stats import ENDPOINTS_LIMIT, SUCCEEDED, StatsQuery, percentile, span_of
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.messages.parse import parse_event_type_filter, parse_id, parse_time
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from google.protobuf.duration_pb2 import Duration

    from noteflow_hooks.application.stats import EndpointView, StatsView
    from noteflow_hooks.domain.ports.stats import Present
    from noteflow_hooks.domain.stats import Span, Tally

#: A word of Python's: the field is only to be had by its name.
_FROM: Final = "from"
_MEDIAN: Final = 0.5
_MOST: Final = 0.95


def parse_stats(request: pb.GetStatsRequest, *, now: datetime) -> StatsQuery:
    """Return what is asked for."""
    (span, bucket), (webhook_id, webhook_ids), event_type, outcome = check_all(
        lambda: _span(request, now=now),
        lambda: check_all(
            lambda: parse_id("webhook_id", request.webhook_id) if request.webhook_id else None,
            lambda: _ids(request.webhook_ids),
        ),
        lambda: parse_event_type_filter(request.event_type),
        lambda: _outcome(request.outcome) if request.outcome else None,
    )
    return StatsQuery(
        span=span,
        bucket=bucket,
        webhook_id=webhook_id,
        event_type=event_type,
        outcome=outcome,
        webhook_ids=webhook_ids,
        with_event_types=request.with_event_types,
        with_now=request.with_now,
        with_endpoint_buckets=request.with_endpoint_buckets,
    )


def stats_message(view: StatsView) -> pb.GetStatsResponse:
    """Return what was counted."""
    begins, ends = view.query.span
    answer = pb.GetStatsResponse(
        as_of=None if view.as_of is None else _time(view.as_of),
        to=_time(ends),
        total=_counts(view.total),
        buckets=_buckets(view.points),
        event_types=[pb.EventTypeStats(event_type=name, counts=_counts(tally)) for name, tally in view.types],
        endpoints=[_endpoint(each) for each in view.endpoints],
        now=None if view.now is None else _now(view.now),
    )
    getattr(answer, _FROM).FromDatetime(begins)
    return answer


def _span(request: pb.GetStatsRequest, *, now: datetime) -> tuple[Span, timedelta | None]:
    begins, ends, bucket = check_all(
        lambda: parse_time(_FROM, getattr(request, _FROM)) if request.HasField(_FROM) else None,
        lambda: parse_time("to", request.to) if request.HasField("to") else None,
        lambda: _bucket(request.bucket) if request.HasField("bucket") else None,
    )
    # Those of the whole are as many again.
    several = 1 + len(request.webhook_ids) if request.with_endpoint_buckets else 1
    return span_of(begins, ends, bucket, now=now, each_for=several)


def _bucket(value: Duration) -> timedelta:
    try:
        return value.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidInputError("bucket", "must be one or more full minutes") from None


def _outcome(value: str) -> str:
    allowed = (SUCCEEDED, *sorted(ErrorKind))
    if value not in allowed:
        raise InvalidInputError("outcome", f"{value[:100]!r} is not allowed here; allowed: {', '.join(allowed)}")
    return value


def _ids(values: Sequence[str]) -> list[UUID]:
    if len(values) > ENDPOINTS_LIMIT:
        raise InvalidInputError("webhook_ids", f"has {len(values)} entries; at most {ENDPOINTS_LIMIT} are allowed")
    return [parse_id(f"webhook_ids[{number}]", each) for number, each in enumerate(values)]


def _counts(tally: Tally) -> pb.StatsCounts:
    succeeded = tally.attempts[SUCCEEDED]
    return pb.StatsCounts(
        events=tally.events,
        attempts=tally.attempts.total(),
        succeeded=succeeded,
        failures={kind: count for kind, count in tally.attempts.items() if kind != SUCCEEDED},
        dead=tally.dead,
        skipped=tally.skipped,
        duration_p50_ms=percentile(tally.durations, _MEDIAN),
        duration_p95_ms=percentile(tally.durations, _MOST),
        duration_sum_ms=tally.total_ms,
        latency_p50_ms=percentile(tally.latencies, _MEDIAN),
        latency_p95_ms=percentile(tally.latencies, _MOST),
    )


def _buckets(points: Iterable[tuple[datetime, Tally]]) -> list[pb.StatsBucket]:
    return [pb.StatsBucket(at=_time(at), counts=_counts(tally)) for at, tally in points]


def _endpoint(view: EndpointView) -> pb.EndpointStats:
    facts = view.facts
    return pb.EndpointStats(
        webhook_id=str(view.webhook_id),
        counts=_counts(view.total),
        buckets=_buckets(view.points),
        last_success_at=None if facts.last_success_at is None else _time(facts.last_success_at),
        last_failure_at=None if facts.last_failure_at is None else _time(facts.last_failure_at),
        waiting=facts.waiting,
        held=facts.throttled,
    )


def _now(present: Present) -> pb.StatsNow:
    return pb.StatsNow(
        undispatched=present.undispatched,
        pending=present.pending,
        held=present.throttled,
        sending=present.sending,
        dead=present.dead,
        skipped=present.skipped,
        has_more=present.has_more,
        endpoints=present.endpoints,
    )


def _time(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
