"""Publishes events over gRPC, and measures each one's time from its call to its receipt."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.publishing import Stream
    from noteflow_hooks.bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one stream."""

    #: When each event's call was made, by the monotonic clock, in seconds.
    made_at: dict[str, float]
    #: How much later than planned each call was made; empty where each call waited for the one before.
    lags_ms: list[float]


def publish(stage: Stage, streams: Sequence[Stream]) -> list[Calls]:
    """Make the calls of all streams at the same time; return once all are answered."""
    client = stage.kept("the publishing client", lambda: stage.process("publishing", stage.system.grpc))
    stage.receiver.ask("reset")
    answers = client.ask(json.dumps([asdict(stream) for stream in streams]))
    return [Calls(dict(answer["calls"]), answer["lags_ms"]) for answer in answers]


def latencies_ms(stage: Stage, calls: Calls) -> list[float]:
    """Wait until every event of the calls is received; return how long each took, from just before its call."""
    came: dict[str, float] = {}

    def is_there() -> bool:
        came.update(stage.receiver.ask("arrivals"))
        return calls.made_at.keys() <= came.keys()

    stage.wait(is_there, what=f"{len(calls.made_at)} published events are received")
    return [(came[event_id] - at) * 1000 for event_id, at in calls.made_at.items()]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the percentile, interpolated between two values; of a single value, that value."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
