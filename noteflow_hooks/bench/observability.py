"""What it costs to see: metrics, JSON logs at INFO, Celery's events and traces together, against none of them.

Two crews of workers take turns, the one that shows nothing first and last, so that a machine that gets slower, or
faster, favours neither. One event in a hundred has a trace that is recorded, as by the default sampling, and a
collector takes its spans.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.crews import crew, warm_up, without_own_workers
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.surroundings import HOST, write_certificate
from noteflow_hooks.bench.traffic import burst, settle
from noteflow_hooks.bench.usage import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_EVENTS: Final = 3_000
#: Of each turn of a crew.
_BURSTS: Final = 4
#: Each such event has a trace that is recorded.
_SAMPLED: Final = 100


@dataclass(slots=True)
class _Arm:
    """One way to work, and what was measured of it."""

    options: Sequence[str]
    settings: Mapping[str, str]
    variables: Mapping[str, str]
    #: Each such event has a trace; None for none.
    traced: int | None = None
    rates: list[float] = field(default_factory=list)
    #: The workers' processor time a delivery.
    worker_us: list[float] = field(default_factory=list)


def everything_on(stage: Stage) -> Values:
    """Measure both, the one between two turns of the other."""
    off = _Arm(("-l", "ERROR"), {"log_format": "text"}, {"OTEL_SDK_DISABLED": "true"})
    on = _Arm(
        ("-l", "INFO", "-E"),
        {"log_format": "json", "metrics_bind": f"{HOST}:0"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": _collector(stage), "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"},
        traced=_SAMPLED,
    )
    with without_own_workers(stage):
        for number, arm in enumerate((off, on, on, off)):
            _take_turn(stage, arm, number)
    return {
        "ratio": statistics.median(on.rates) / statistics.median(off.rates),
        # The worst and the best that pairs of bursts say of it.
        "lowest_ratio": min(on.rates) / max(off.rates),
        "highest_ratio": max(on.rates) / min(off.rates),
        "worker_ratio": statistics.median(off.worker_us) / statistics.median(on.worker_us),
        "rate_per_s": statistics.median(on.rates),
        "off_per_s": statistics.median(off.rates),
        "worker_us": statistics.median(on.worker_us),
        "worker_off_us": statistics.median(off.worker_us),
    }


def _take_turn(stage: Stage, arm: _Arm, number: int) -> None:
    name, events = f"turn-{number}", stage.count(_EVENTS)
    with crew(stage, name, options=arm.options, settings=arm.settings, variables=arm.variables) as pids:
        warm_up(stage)
        for _ in range(_BURSTS):
            before = cpu_seconds({"workers": pids})["workers"]
            arm.rates.append(burst(stage, stage.workspaces(), events=events, traced=arm.traced).rate_per_s)
            arm.worker_us.append((cpu_seconds({"workers": pids})["workers"] - before) / events * 1e6)
        settle(stage)


def _collector(stage: Stage) -> str:
    """Return where spans are taken, by a receiver of their own."""

    def start() -> str:
        certificate = write_certificate(stage.file("collector-ca.pem", b""))
        plain, _ = stage.process("receiver", "--certificate", certificate).greeting
        return f"http://{HOST}:{plain}/ok"

    return stage.kept("a collector", start)


OBSERVABILITY: Final = (
    Scenario(
        "observability",
        "one subscriber each, with metrics, logs, events and traces on, against all off",
        everything_on,
        (Bound("ratio", "metrics, logs, events and traces on ÷ off", "at least", 0.97),),
        is_once=True,
    ),
)
