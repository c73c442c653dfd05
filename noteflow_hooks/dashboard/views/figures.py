"""Figures from roll-ups, as several pages show them: the span that they are of, their charts, what is undelivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard import words
from noteflow_hooks.dashboard.views.keeping import Kept
from noteflow_hooks.dashboard.visit import address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from noteflow_hooks.dashboard.visit import Form, Visit


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time that figures can be of, and how wide its time buckets are."""

    name: str
    words: str
    length: timedelta
    bucket: timedelta
    bucket_words: str

    @property
    def is_long(self) -> bool:
        """Whether its charts name days, in place of hours."""
        return self.length > timedelta(days=1)


SPANS: Final = {
    each.name: each
    for each in (
        Span("1h", "1 hour", timedelta(hours=1), timedelta(minutes=1), "minute"),
        Span("24h", "24 hours", timedelta(hours=24), timedelta(minutes=30), "half hour"),
        Span("7d", "7 days", timedelta(days=7), timedelta(hours=6), "6 hours"),
        Span("30d", "30 days", timedelta(days=30), timedelta(days=1), "day"),
    )
}
_USUAL: Final = "24h"
#: How endpoints are whose deliveries are held back.
_STANDING: Final = "paused, limited, slow or on hold"
#: What is skipped and owed to nobody.
_NOT_OWED: Final = ("filtered",)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why so many are not delivered, and the list of them."""

    words: str
    count: int
    to: str
    look: str


#: What was counted is some seconds old in any case.
_stats: Final[Kept[pb.GetStatsResponse]] = Kept(5.0)


#: Bars of an hour each change little in a minute.
_hours: Final[Kept[pb.GetStatsResponse]] = Kept(60.0)


def stats_of(visit: Visit, request: pb.GetStatsRequest) -> pb.GetStatsResponse:
    """Return the figures; the same again for some seconds."""
    return _stats.of(visit, request, lambda: visit.client.webhooks.GetStats(request))


def span_of(query: Form) -> Span:
    """Return the span that the address names, 24 hours where it names none."""
    return SPANS.get(query.text("span"), SPANS[_USUAL])


def stats_request(span: Span, *, now: datetime, **fields: Any) -> pb.GetStatsRequest:  # noqa: ANN401 - the request's own
    """Return what asks for the figures of that span."""
    request = pb.GetStatsRequest(**fields)
    getattr(request, "from").FromDatetime((now - span.length).replace(second=0, microsecond=0))
    request.bucket.FromTimedelta(span.bucket)
    return request


def day_request(ids: Sequence[str], *, now: datetime) -> pb.GetStatsRequest:
    """Return what asks how each of these endpoints has done in the last day."""
    request = pb.GetStatsRequest(webhook_ids=ids)
    getattr(request, "from").FromDatetime((now - timedelta(days=1)).replace(second=0, microsecond=0))
    return request


def days_of(visit: Visit, request: pb.GetStatsRequest) -> dict[str, pb.EndpointStats]:
    """Return the last day of each endpoint; none has one where none is asked about."""
    if not request.webhook_ids:
        return {}
    return {each.webhook_id: each for each in stats_of(visit, request).endpoints}


def hours_of(visit: Visit, ids: Sequence[str], *, now: datetime) -> dict[str, pb.GetStatsResponse]:
    """Return the last day of each endpoint by the hour, all asked about at once; some minutes old at the most."""
    calls = {each: _begun(visit, _hours_request(each, now=now)) for each in ids}
    return {each: call() for each, call in calls.items()}


def _hours_request(webhook_id: str, *, now: datetime) -> pb.GetStatsRequest:
    request = pb.GetStatsRequest(webhook_id=webhook_id)
    begins = (now - timedelta(hours=23)).replace(minute=0, second=0, microsecond=0)
    getattr(request, "from").FromDatetime(begins)
    request.bucket.FromTimedelta(timedelta(hours=1))
    return request


def _begun(visit: Visit, request: pb.GetStatsRequest) -> Callable[[], pb.GetStatsResponse]:
    kept = _hours.kept(visit, request)
    if kept is not None:
        return lambda: kept
    call = visit.client.webhooks.GetStats.future(request)
    return lambda: _hours.of(visit, request, call.result)


def since(moment: Timestamp) -> str:
    """Return a moment as the filters of lists have it."""
    return moment.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M")


def failures(counts: pb.StatsCounts, **filters: str) -> list[Reason]:
    """Return what attempts have failed of, the most frequent first."""
    found = [
        Reason(words.KINDS.get(kind, kind), count, address("/deliveries", error_kind=kind, **filters), "bad")
        for kind, count in counts.failures.items()
        if count
    ]
    return sorted(found, key=lambda each: -each.count)


def undelivered(now: pb.StatsNow, **filters: str) -> list[Reason]:
    """Return why what is accepted has not arrived, for the lists that hold it."""
    return [each for each in _reasons(now, filters) if each.count]


def _reasons(now: pb.StatsNow, filters: Mapping[str, str]) -> Iterator[Reason]:
    def listed(status: str, **more: str) -> str:
        return address("/deliveries", status=status, **filters, **more)

    yield Reason("Not matched with endpoints yet", now.undispatched, address("/undelivered", **filters), "busy")
    yield Reason(_waiting(now), now.pending, listed("pending"), "warn" if now.held else "busy")
    yield Reason("Being sent", now.sending, listed("sending"), "busy")
    for kind, count in sorted(now.dead.items(), key=lambda each: -each[1]):
        more = {"error_kind": kind} if kind in words.KINDS else {}
        yield Reason(
            f"Given up: {words.KINDS.get(kind, 'for another reason').lower()}", count, listed("dead", **more), "bad"
        )
    for reason, count in sorted(now.skipped.items(), key=lambda each: -each[1]):
        if reason not in _NOT_OWED:
            more = {"skip_reason": reason} if reason in words.SKIPPED else {}
            skipped = words.SKIPPED.get(reason, "for a reason that is no longer known").rstrip(".")
            yield Reason(f"Skipped: {skipped[0].lower()}{skipped[1:]}", count, listed("skipped", **more), "quiet")


def _waiting(now: pb.StatsNow) -> str:
    """Return why deliveries wait. What is held back has no list of its own, so that all have one number."""
    if now.held >= now.pending:
        return f"Held back: its endpoint is {_STANDING}"
    return (
        f"Waits for an attempt; {now.held:,} held back: their endpoint is {_STANDING}"
        if now.held
        else "Waits for an attempt"
    )
