"""Whether relay, sweep, workers and Redis are well, in words that are safe to show to whoever has a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.ports.maintenance import RELAY, SWEEP

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.ports.maintenance import Signs

#: Relay or sweep may miss two periods, and so many seconds where periods are short: a worker that starts again, or
#: PostgreSQL, takes as long.
_PERIODS: Final = 3
_LEAST: Final = timedelta(seconds=15)


class PartState(StrEnum):
    """How a part does."""

    #: It does what it should.
    WELL = "well"
    #: It is behind, or has not come by when it should have.
    LATE = "late"
    #: It has never come by, or does not answer.
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Periods:
    """How often relay and sweep come by."""

    relay: timedelta = timedelta(seconds=5)
    #: Relay looks at events that are older than this.
    relay_after: timedelta = timedelta(seconds=5)
    sweep: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Part:
    """How one part does, and when it was last known to work; None where nothing tells."""

    name: str
    state: PartState
    reason: str
    last_at: datetime | None = None


def patience(every: timedelta) -> timedelta:
    """Return how long ago a task with this period may have run last."""
    return max(_LEAST, _PERIODS * every)


def parts_of(signs: Signs, periods: Periods, *, redis_answers: bool) -> tuple[Part, ...]:
    """Return how relay, sweep, workers and Redis do."""
    relay = _task(RELAY, signs.relay_at, periods.relay, now=signs.now)
    sweep = _task(SWEEP, signs.sweep_at, periods.sweep, now=signs.now)
    return relay, sweep, _workers(signs, periods, relay, sweep), _redis(answers=redis_answers)


def _task(name: str, last_at: datetime | None, every: timedelta, *, now: datetime) -> Part:
    if last_at is None:
        return Part(name, PartState.AWAY, "it has never run to its end")
    late = now - last_at > patience(every)
    reason = f"it runs every {every.total_seconds():g} s"
    return Part(name, PartState.LATE if late else PartState.WELL, reason, last_at)


def _workers(signs: Signs, periods: Periods, *tasks: Part) -> Part:
    """Judge the workers by what they have done, since to ask them takes seconds."""
    last_at = max((each.last_at for each in tasks if each.last_at is not None), default=None)
    if not any(each.state is PartState.WELL for each in tasks):
        return Part("workers", PartState.AWAY, "none has ended a task lately", last_at)
    waits = {
        "an event waits to be dispatched": (signs.event_since, periods.relay_after + patience(periods.relay)),
        "a delivery is due and not taken": (signs.delivery_since, periods.sweep + patience(periods.sweep)),
    }
    for what, (since, late) in waits.items():
        if since is not None and signs.now - since > late:
            return Part("workers", PartState.LATE, f"{what} for {_length(signs.now - since)}", last_at)
    return Part("workers", PartState.WELL, "they take what is due", last_at)


def _redis(*, answers: bool) -> Part:
    if answers:
        return Part("redis", PartState.WELL, "it answers")
    return Part("redis", PartState.AWAY, "it does not answer; what is accepted is safe, and is sent later")


def _length(length: timedelta) -> str:
    """Return a duration as people say it."""
    seconds = length.total_seconds()
    sizes = ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
    size, unit = next((each for each in sizes if seconds >= 2 * each[0]), sizes[-1])
    return f"{seconds / size:.0f} {unit}"
