"""What it costs to see: metrics, JSON logs at INFO, Celery's events and traces together, against none of them.

Two crews of workers stand by, each at a database of Redis of its own, and take turns of one burst each: what else the
machine does meets both. One event in a hundred has a trace that is recorded, as by the default sampling, and a
collector takes its spans.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.crews import crew, without_own_workers
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.surroundings import HOST, write_certificate
from noteflow_hooks.bench.traffic import burst
from noteflow_hooks.bench.usage import cpu_seconds
from noteflow_hooks.broker import publisher
from noteflow_hooks.redis_url import RedisAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.broker.publisher import Publishers

_EVENTS: Final = 3_000
#: Bursts of each crew.
_TURNS: Final = 20
#: Each such event has a trace that is recorded.
_SAMPLED: Final = 100


@dataclass(slots=True)
class _Arm:
    """One way to work, and what was measured of it."""

    name: str
    #: Of Redis, where nobody else takes messages.
    database: int
    options: Sequence[str]
    settings: Mapping[str, str]
    variables: Mapping[str, str]
    #: Each such event has a trace; None for none.
    traced: int | None = None
    rates: list[float] = field(default_factory=list)
    #: The workers' processor time a delivery.
    worker_us: list[float] = field(default_factory=list)


def everything_on(stage: Stage) -> Values:
    """Measure both, burst after burst in turn; the ratios are medians of pairs."""
    off = _Arm("unseen", 1, ("-l", "ERROR"), {"log_format": "text"}, {"OTEL_SDK_DISABLED": "true"})
    on = _Arm(
        "seen",
        2,
        ("-l", "INFO", "-E"),
        {"log_format": "json", "metrics_bind": f"{HOST}:0"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": _collector(stage), "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"},
        traced=_SAMPLED,
    )
    with without_own_workers(stage), ExitStack() as stack:
        stack.callback(setattr, stage, "publishers", stage.publishers)
        crews = [(each, *stack.enter_context(_crew(stage, each))) for each in (off, on)]
        for number in range(_TURNS + 1):
            for arm, publishers, pids in crews if number % 2 else reversed(crews):
                stage.publishers = publishers
                # The first one makes connections, and is not measured.
                _take_turn(stage, arm, pids, is_measured=number > 0)
    return _values(off, on)


def _values(off: _Arm, on: _Arm) -> Values:
    ratios = [seen / unseen for seen, unseen in zip(on.rates, off.rates, strict=True)]
    worker_ratios = [unseen / seen for seen, unseen in zip(on.worker_us, off.worker_us, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        # What most pairs of bursts say of it.
        "lower_quartile": statistics.quantiles(ratios, n=4)[0],
        "upper_quartile": statistics.quantiles(ratios, n=4)[2],
        "worker_ratio": statistics.median(worker_ratios),
        "rate_per_s": statistics.median(on.rates),
        "off_per_s": statistics.median(off.rates),
        "worker_us": statistics.median(on.worker_us),
        "worker_off_us": statistics.median(off.worker_us),
    }


@contextmanager
def _crew(stage: Stage, arm: _Arm) -> Iterator[tuple[Publishers, list[int]]]:
    """Have a crew stand by for who publishes to its database."""
    url = f"{stage.system.redis_url.rpartition('/')[0]}/{arm.database}"
    with (
        crew(
            stage, arm.name, options=arm.options, settings=arm.settings, variables=arm.variables, redis_url=url
        ) as pids,
        closing(publisher.connect(RedisAddress.parse(url))) as publishers,
    ):
        yield publishers, pids


def _take_turn(stage: Stage, arm: _Arm, pids: list[int], *, is_measured: bool) -> None:
    events = stage.count(_EVENTS)
    before = cpu_seconds({"workers": pids})["workers"]
    rate = burst(stage, stage.workspaces(), events=events, traced=arm.traced).rate_per_s
    if is_measured:
        arm.rates.append(rate)
        arm.worker_us.append((cpu_seconds({"workers": pids})["workers"] - before) / events * 1e6)


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
