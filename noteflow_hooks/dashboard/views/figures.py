"""Figures from roll-ups, as several pages show them: the span that they are of, their charts, what is undelivered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.client import pb
from noteflow_hooks.client.causes import SKIPPED
from noteflow_hooks.dashboard import words
from noteflow_hooks.dashboard.views.keeping import Kept
from noteflow_hooks.dashboard.visit import address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    def last(self) -> str:
        """The span as it is said after `the last`."""
        return self.words.removeprefix("1 ")

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


def now_of(visit: Visit, **fields: Any) -> pb.StatsNow:  # noqa: ANN401 - the request's own
    """Return how it stands now, the same for all pages that show it: it is counted row by row."""
    request = pb.GetStatsRequest(with_now=True, **fields)
    # Of what has happened, next to nothing.
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    getattr(request, "from").FromDatetime(at - timedelta(minutes=1))
    return stats_of(visit, request).now


def day_request(ids: Sequence[str], *, now: datetime) -> pb.GetStatsRequest:
    """Return what asks how each of these endpoints has done in the last day, and in each of its hours."""
    request = pb.GetStatsRequest(webhook_ids=ids, with_endpoint_buckets=True)
    begins = (now - timedelta(hours=23)).replace(minute=0, second=0, microsecond=0)
    getattr(request, "from").FromDatetime(begins)
    request.bucket.FromTimedelta(timedelta(hours=1))
    return request


def days_of(visit: Visit, request: pb.GetStatsRequest) -> dict[str, pb.EndpointStats]:
    """Return the last day of each endpoint; none has one where none is asked about."""
    if not request.webhook_ids:
        return {}
    return {each.webhook_id: each for each in stats_of(visit, request).endpoints}


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
    yield Reason("Waits for an attempt", now.pending - now.held, listed("pending", held="false"), "busy")
    yield Reason(f"Held back: its endpoint is {_STANDING}", now.held, listed("pending", held="true"), "warn")
    yield Reason("Being sent", now.sending, listed("sending"), "busy")
    for kind, count in sorted(now.dead.items(), key=lambda each: -each[1]):
        more = {"error_kind": kind} if kind in words.KINDS else {}
        yield Reason(
            f"Given up: {words.KINDS.get(kind, 'for another reason').lower()}", count, listed("dead", **more), "bad"
        )
    for reason, count in sorted(now.skipped.items(), key=lambda each: -each[1]):
        if reason not in _NOT_OWED:
            more = {"skip_reason": reason} if reason in SKIPPED else {}
            skipped = SKIPPED.get(reason, "for a reason that is no longer known").rstrip(".")
            yield Reason(f"Skipped: {skipped[0].lower()}{skipped[1:]}", count, listed("skipped", **more), "quiet")
