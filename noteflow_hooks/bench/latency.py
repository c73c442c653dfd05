"""How long an event takes from the call that publishes it to its receipt, at several rates.

The load is open-loop: calls are made when they are due, whether or not earlier ones have returned.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.calls import latencies_ms, percentile, publish
from noteflow_hooks.bench.over_grpc import python_peak_per_s
from noteflow_hooks.bench.publishing import Stream
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import settle

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

#: One event in 150 ms: each finds the system idle.
IDLE_PER_S: Final = 1000 / 150
_IDLE_EVENTS: Final = 40
_SECONDS: Final = 3
_LEAD_IN_PER_S: Final = 50.0


def at_rate(stage: Stage, *, rate_per_s: float, events: int) -> Values:
    """Measure the latency at a rate."""
    tokens = _tokens(stage)
    # No caller's first call for minutes is measured: its token would be looked up, and its endpoint be read.
    publish(stage, [Stream(tokens, len(tokens), _LEAD_IN_PER_S)])
    settle(stage)
    [calls] = publish(stage, [Stream(tokens, events, rate_per_s)])
    found = latencies_ms(stage, calls)
    settle(stage)
    return {
        "rate_per_s": rate_per_s,
        **{f"p{percent}_ms": percentile(found, percent) for percent in (50, 95, 99)},
        "client_lag_p99_ms": percentile(calls.lags_ms, 99),
    }


def idle(stage: Stage) -> Values:
    """Measure the latency of an idle system."""
    return at_rate(stage, rate_per_s=IDLE_PER_S, events=stage.size(_IDLE_EVENTS))


def at_fixed_rate(stage: Stage, rate_per_s: float) -> Values:
    """Measure the latency at so many events a second."""
    return at_rate(stage, rate_per_s=rate_per_s, events=stage.count(round(rate_per_s * _SECONDS)))


def at_half_peak(stage: Stage) -> Values:
    """Measure the latency at half the rate that callers in Python reached in this round."""
    return at_fixed_rate(stage, python_peak_per_s(stage) / 2)


def _tokens(stage: Stage) -> list[str]:
    return [tenant.token for tenant in stage.workspaces()]


LATENCY: Final = (
    Scenario(
        "latency-idle",
        "publish to receipt, an event in 150 ms",
        idle,
        (
            Bound("p50_ms", "publish to receipt, idle, p50 in ms", "at most", 6.0),
            Bound("p99_ms", "publish to receipt, idle, p99 in ms", "at most", 10.0),
        ),
    ),
    Scenario(
        "latency-50",
        "publish to receipt at 50 events a second",
        partial(at_fixed_rate, rate_per_s=50),
        (Bound("p95_ms", "publish to receipt at 50 a second, p95 in ms", "at most", 5.0),),
    ),
    Scenario(
        "latency-200",
        "publish to receipt at 200 events a second",
        partial(at_fixed_rate, rate_per_s=200),
        (
            Bound("p50_ms", "publish to receipt at 200 a second, p50 in ms", "at most", 4.0),
            Bound("p95_ms", "publish to receipt at 200 a second, p95 in ms", "at most", 7.0),
        ),
    ),
    Scenario("latency-half-peak", "publish to receipt at half of what over-grpc-python-16 found", at_half_peak),
)
