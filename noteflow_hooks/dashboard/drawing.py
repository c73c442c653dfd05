"""Small drawings, as numbers for SVG's own attributes: the pages' policy allows no style in the markup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.client import pb

#: How wide a bar may get, in units of its picture.
WIDE: Final = 160
_THIN: Final = 2
#: A chart's height; its width is a unit a time bucket, and it is stretched to the page's.
HIGH: Final = 100
#: What is seen of a bar that stands for little.
_LOW: Final = 1.5
#: The numbers that axes end with, times a power of ten.
_ROUND: Final = (1, 2, 3, 5, 10)
_PERCENT: Final = 100
#: What a share that is neither none nor all would be rounded to, and what it is shown as.
_ROUNDED_AWAY: Final = {"0.0": "0.1", "100.0": "99.9"}


@dataclass(frozen=True, slots=True)
class Column:
    """A time bucket's bar: what succeeded below, and what failed on top of it."""

    bucket: pb.StatsBucket
    at: int
    succeeded: float
    failed: float
    failures: int


@dataclass(frozen=True, slots=True)
class Columns:
    """A chart of attempts, and the number that its height stands for."""

    top: int
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Lines:
    """A chart of durations: the ways of two lines, and the milliseconds that its height stands for."""

    top: int
    p50: str
    p95: str


def bars(attempts: Sequence[pb.Attempt]) -> list[int]:
    """Return how wide each attempt's bar is: the longest is as wide as may be, and each can be seen."""
    longest = max((each.duration_ms for each in attempts), default=0)
    return [max(_THIN, round(WIDE * each.duration_ms / longest)) if longest else _THIN for each in attempts]


def share(part: int, whole: int) -> int:
    """Return how wide the done part of a bar is."""
    return round(WIDE * min(part, whole) / whole) if whole else 0


def columns(buckets: Sequence[pb.StatsBucket]) -> Columns:
    """Return the attempts of each time bucket."""
    top = rounded_up(max((each.counts.attempts for each in buckets), default=0))
    return Columns(top, [_column(each, at, top=top) for at, each in enumerate(buckets)])


def lines(buckets: Sequence[pb.StatsBucket]) -> Lines:
    """Return how long attempts took in each time bucket; a line has a gap where there were none."""
    p50 = [each.counts.duration_p50_ms if each.counts.HasField("duration_p50_ms") else None for each in buckets]
    p95 = [each.counts.duration_p95_ms if each.counts.HasField("duration_p95_ms") else None for each in buckets]
    top = rounded_up(max((each for each in (*p50, *p95) if each is not None), default=0))
    return Lines(top, _way(p50, top), _way(p95, top))


def percent(part: int, whole: int) -> str:
    """Return a share as people say it: 100 only for all of it, 0 for none, and a dash where there is nothing."""
    if not whole:
        return "\N{EN DASH}"
    exact = _PERCENT * part / whole
    if not 0 < exact < _PERCENT:
        return f"{exact:.0f}%"
    shown = f"{exact:.1f}"
    return f"{_ROUNDED_AWAY.get(shown, shown)}%"


def middle(top: int) -> int | None:
    """Return what the middle of a chart of that height stands for; None where that is no whole number."""
    return top // 2 if top % 2 == 0 else None


def rounded_up(number: float) -> int:
    """Return the least round number that is no less, and 1 at the least."""
    size = 1
    while size * _ROUND[-1] < number:
        size *= 10
    return next(each * size for each in _ROUND if each * size >= number)


def _column(bucket: pb.StatsBucket, at: int, *, top: int) -> Column:
    counts = bucket.counts
    failures = counts.attempts - counts.succeeded
    return Column(bucket, at, _height(counts.succeeded, top), _height(failures, top), failures)


def _height(count: int, top: int) -> float:
    return round(max(HIGH * count / top, _LOW), 2) if count else 0


def _way(values: Sequence[float | None], top: int) -> str:
    """Return the path through the middles of the time buckets; a value by itself is a dash as wide as its bucket."""
    parts = []
    for at, value in enumerate(values):
        if value is None:
            continue
        height = round(HIGH - HIGH * value / top, 2)
        before, after = values[at - 1] if at else None, values[at + 1] if at + 1 < len(values) else None
        if before is None and after is None:
            parts.append(f"M{at} {height}H{at + 1}")
        else:
            parts.append(f"{'M' if before is None else 'L'}{at + 0.5} {height}")
    return "".join(parts)
