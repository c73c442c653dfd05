"""What is counted of events, attempts and deliveries, what may be asked of it, and percentiles out of a histogram."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.deliveries import WebhookDelivery

#: The upper ends of the histograms' bins, in milliseconds; the last bin has whatever took longer. Never changed: what
#: is stored names a bin by its number.
BOUNDS_MS: Final = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
    *(1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 60_000),
    *(120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000),
)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
#: For so long each minute is kept, and each hour.
MINUTES_KEPT: Final = timedelta(hours=48)
HOURS_KEPT: Final = timedelta(days=90)
#: Minutes may be asked for that are younger: some are on their way out by the time that they are read.
_MINUTES_ASKED: Final = MINUTES_KEPT - HOUR
#: The most time buckets, and the most endpoints, of one answer.
POINTS_LIMIT: Final = 1_000
ENDPOINTS_LIMIT: Final = 500
#: What a kind is called that has no word of its own.
NO_KIND: Final = "none"
SUCCEEDED: Final = "succeeded"
#: The highest bin of :attr:`Measure.TRIES`: so many attempts, or more.
MOST_TRIES: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


class Measure(StrEnum):
    """What is counted. Each has kinds of its own."""

    #: Events that were stored.
    EVENT = "event"
    #: Attempts that were recorded, each by its outcome and in the bin of its duration.
    ATTEMPT = "attempt"
    #: Receipts of deliveries that were never sent again, in the bin of the time since their event; ``first`` attempts
    #: and ``later`` ones.
    LATENCY = "latency"
    #: Deliveries that have become dead, by the kind of the last failure.
    DEAD = "dead"
    #: Deliveries that have become skipped, by the reason.
    SKIPPED = "skipped"
    #: Deliveries that have succeeded or become dead; the bin is how many attempts that took, and so is the sum.
    TRIES = "tries"


class Count(NamedTuple):
    """How many there are of a kind; ``total_ms`` is what their durations come to."""

    measure: str
    kind: str
    bin: int
    number: int
    total_ms: int


def bin_of(ms: int) -> int:
    """Return the number of the bin for that duration, 0 for the first."""
    return bisect_left(BOUNDS_MS, ms)


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return in milliseconds what that share of them does not exceed, from within the right bin; None of none."""
    left = share * sum(histogram.values())
    for number in sorted(histogram):
        if left <= histogram[number]:
            lower = BOUNDS_MS[number - 1] if number else 0
            upper = BOUNDS_MS[number] if number < len(BOUNDS_MS) else lower
            return lower + (upper - lower) * left / histogram[number]
        left -= histogram[number]
    return None


@dataclass(slots=True)
class Tally:
    """What was counted of something, put together count by count."""

    events: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    total_ms: int = 0

    def add(self, each: Count) -> None:
        """Add what a row of the roll-ups says."""
        match each.measure:
            case Measure.EVENT:
                self.events += each.number
            case Measure.ATTEMPT:
                self.attempts[each.kind] += each.number
                self.durations[each.bin] += each.number
                self.total_ms += each.total_ms
            case Measure.LATENCY if each.kind == "first":
                self.latencies[each.bin] += each.number
            case Measure.DEAD:
                self.dead[each.kind] += each.number
            case Measure.SKIPPED:
                self.skipped[each.kind] += each.number
            case _:
                pass


class Span(NamedTuple):
    """From when on, and before when."""

    begins: datetime
    ends: datetime


class Pieces(NamedTuple):
    """Where a span is read: full hours from the hours, what is before and behind them from the minutes."""

    before: Span
    hours: Span
    behind: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsQuery:
    """What is asked for. The span begins and ends with full minutes, or hours where it is too old for minutes."""

    span: Span
    bucket: timedelta | None = None
    webhook_id: UUID | None = None
    event_type: str | None = None
    outcome: str | None = None
    webhook_ids: Sequence[UUID] = ()
    with_event_types: bool = False
    with_now: bool = False
    with_endpoint_buckets: bool = False

    @property
    def pieces(self) -> Pieces:
        """Where the span is read."""
        begins, ends = self.span
        if self.bucket is not None and self.bucket % HOUR:
            return Pieces(self.span, Span(ends, ends), Span(ends, ends))
        first, last = _up(begins, HOUR), down(ends, HOUR)
        if last <= first:
            return Pieces(self.span, Span(ends, ends), Span(ends, ends))
        return Pieces(Span(begins, first), Span(first, last), Span(last, ends))

    @property
    def points(self) -> list[datetime]:
        """The beginnings of the time buckets."""
        if self.bucket is None:
            return []
        return [self.span.begins + number * self.bucket for number in range(points_of(self.span, self.bucket))]

    @property
    def endpoint_bucket(self) -> timedelta:
        """How wide the time buckets of single endpoints are; the whole span where they have none."""
        begins, ends = self.span
        return self.bucket if self.bucket is not None and self.with_endpoint_buckets else ends - begins


def span_of(
    begins: datetime | None, ends: datetime | None, bucket: timedelta | None, *, now: datetime, each_for: int = 1
) -> tuple[Span, timedelta | None]:
    """Return the span that is asked for, as it is counted; raise InvalidInputError where it can't be.

    The time buckets are answered ``each_for`` so many.
    """
    ends = ends if ends is not None else max(now, begins) if begins is not None else now
    begins = begins if begins is not None else max(ends, _EPOCH + 2 * _DAY) - _DAY
    if not begins < ends:
        raise InvalidInputError("from", "must be before to")
    unit = MINUTE if begins >= now - _MINUTES_ASKED else HOUR
    if bucket is not None:
        check_bucket(bucket, unit)
    begins = down(begins, unit if bucket is None else bucket)
    span = Span(begins, _up(ends, unit))
    if bucket is not None:
        _check_points(span, bucket, unit, each_for=each_for)
    return span, bucket


def _check_points(span: Span, bucket: timedelta, unit: timedelta, *, each_for: int) -> None:
    """Raise InvalidInputError for more time buckets than are answered, of so many endpoints or of one thing."""
    found = points_of(span, bucket) * each_for
    if found > POINTS_LIMIT:
        least = (span.ends - span.begins) * each_for / POINTS_LIMIT
        raise InvalidInputError(
            "bucket",
            f"gives {found} points; at most {POINTS_LIMIT} are answered, so make it at least"
            f" {_up(_EPOCH + least, unit) - _EPOCH} (h:mm:ss)",
        )


def check_bucket(bucket: timedelta, unit: timedelta) -> None:
    """Raise InvalidInputError unless the bucket is made of whole minutes, or hours."""
    if bucket <= timedelta(0) or bucket % unit:
        name = "minutes" if unit == MINUTE else "hours, since single minutes are kept for two days"
        raise InvalidInputError("bucket", f"must be one or more full {name}")


def points_of(span: Span, bucket: timedelta) -> int:
    """Return how many time buckets the span has."""
    return -((span.begins - span.ends) // bucket)


def down(moment: datetime, unit: timedelta) -> datetime:
    """Return the last beginning of such a unit that is not behind the moment."""
    since = (moment - _EPOCH) // unit
    try:
        return _EPOCH + since * unit
    except OverflowError:
        return moment


def _up(moment: datetime, unit: timedelta) -> datetime:
    """Return the first beginning of such a unit that is not before the moment."""
    first = down(moment, unit)
    return first if first == moment else min(first, datetime.max.replace(tzinfo=UTC) - unit) + unit


def ended_by(delivery: WebhookDelivery) -> str:
    """Return by what a delivery has ended that has not succeeded: its last failure's kind, or why it is skipped."""
    word = delivery.error_kind if delivery.status is DeliveryStatus.DEAD else delivery.skip_reason
    return word if word is not None else NO_KIND


def attempt_counts(attempt: WebhookAttempt, *, latency: timedelta | None) -> Iterator[tuple[bool, Count]]:
    """Yield what an attempt counts for, and whether that is also said of its endpoint.

    ``latency`` is how long after its event it was received, of a delivery that was never sent again.
    """
    kind = attempt.error_kind if attempt.error_kind is not None else SUCCEEDED
    yield True, Count(Measure.ATTEMPT, kind, bin_of(attempt.duration_ms), 1, attempt.duration_ms)
    if attempt.error_kind is not None:
        return
    tries = attempt.attempt_number
    yield False, Count(Measure.TRIES, SUCCEEDED, min(tries, MOST_TRIES), 1, tries)
    if latency is not None:
        ms = max(0, round(latency / timedelta(milliseconds=1)))
        yield False, Count(Measure.LATENCY, "first" if tries == 1 else "later", bin_of(ms), 1, ms)


def end_counts(delivery: WebhookDelivery) -> Iterator[tuple[bool, Count]]:
    """Yield what a delivery counts for that has ended without a success, and whether that is said of its endpoint."""
    yield True, Count(delivery.status, ended_by(delivery), 0, 1, 0)
    if delivery.status is DeliveryStatus.DEAD:
        tries = delivery.attempt_count
        yield False, Count(Measure.TRIES, Measure.DEAD, min(tries, MOST_TRIES), 1, tries)
