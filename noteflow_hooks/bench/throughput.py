"""How many deliveries a second the system makes, each time against a baseline that was measured directly before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between, between_bare
from noteflow_hooks.bench.bare import bare_rate
from noteflow_hooks.bench.obvious import obvious_rate
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.stage import WORKSPACES
from noteflow_hooks.bench.traffic import burst, until_idle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant
    from noteflow_hooks.bench.traffic import Burst

_EVENTS: Final = 3_000
#: The obvious app takes some five seconds for these.
_OBVIOUS_EVENTS: Final = 700
_SMALL_FAN: Final = 100
_LARGE_FAN: Final = 10_000
#: How many of the workspaces' endpoints fail: a tenth.
_FAILING: Final = WORKSPACES // 10
_TURN_NOW: Final = "UPDATE noteflow.webhook_health SET turn_at = now() WHERE webhook_id = ANY(%s) AND turn_at > now()"


def one_subscriber(stage: Stage, *, is_tls: bool = False) -> Values:
    """Measure events with one subscriber each."""
    events, tenants = stage.count(_EVENTS), stage.workspaces(is_tls=is_tls)
    return _against(*between_bare(stage, events, lambda: burst(stage, tenants, events=events), is_tls=is_tls))


def one_subscriber_tls(stage: Stage) -> Values:
    """Measure the same over TLS, against a bare loop over TLS."""
    return one_subscriber(stage, is_tls=True)


def against_obvious(stage: Stage) -> Values:
    """Measure the same against the obvious Celery app."""
    obvious = obvious_rate(stage, stage.count(_OBVIOUS_EVENTS))
    sent = burst(stage, stage.workspaces(), events=stage.count(_EVENTS))
    return {"ratio": sent.rate_per_s / obvious, "rate_per_s": sent.rate_per_s, "obvious_per_s": obvious}


def one_endpoint(stage: Stage) -> Values:
    """Measure one endpoint that gets all events."""
    tenant = stage.kept("one endpoint", lambda: stage.tenants.make([stage.url("/ok")]))
    events = stage.count(_EVENTS // 2)
    return _against(*between_bare(stage, events, lambda: burst(stage, [tenant], events=events)))


def small_fan_out(stage: Stage) -> Values:
    """Measure events with a hundred subscribers each."""
    return _fan_out(stage, _SMALL_FAN, events=max(1, stage.count(_EVENTS) // _SMALL_FAN))


def large_fan_out(stage: Stage) -> Values:
    """Measure one event with ten thousand subscribers, also against a bare loop that dials for each POST, too."""
    dialling = bare_rate(stage, stage.count(_EVENTS), dials=True)
    measured = _fan_out(stage, stage.size(_LARGE_FAN), events=1)
    return {**measured, "dialling_bare_per_s": dialling, "dialling_ratio": measured["rate_per_s"] / dialling}


def _fan_out(stage: Stage, width: int, *, events: int) -> Values:
    urls = (stage.url(f"/ok/{number}") for number in range(width))
    tenant = stage.kept(f"fan-out of {width}", lambda: stage.tenants.make(urls))
    send = partial(burst, stage, [tenant], events=events, receipts=events * width)
    return _against(*between_bare(stage, stage.count(_EVENTS), send))


def _against(bare: float, sent: Burst) -> Values:
    return {"ratio": sent.rate_per_s / bare, "rate_per_s": sent.rate_per_s, "bare_per_s": bare, **sent.cpu_us}


def a_tenth_failing(stage: Stage) -> Values:
    """Measure the rate of the other endpoints while a tenth of all answers 500."""
    events = stage.count(_EVENTS)
    # On either side of it, since the machine's speed changes.
    quiet, rate = between(
        stage,
        lambda: burst(stage, stage.workspaces(), events=events).rate_per_s,
        kind=("quiet", events),
        measure=lambda: _beside_failing(stage, events),
    )
    return {"ratio": rate / quiet, "healthy_per_s": rate, "quiet_per_s": quiet}


def _beside_failing(stage: Stage, events: int) -> float:
    well, ill = stage.workspaces()[_FAILING:], stage.kept("workspaces that fail", lambda: _without_endpoints(stage))
    # New ones each time: the earlier ones' circuit breakers are open.
    webhook_ids = [stage.tenants.register(tenant, [stage.url("/fail")])[0] for tenant in ill]

    def remove() -> None:
        # A delivery that is under way when its endpoint goes waits for the breaker again, for up to half a minute.
        until_idle(stage)
        stage.tenants.remove(webhook_ids)
        until_idle(stage)
        stage.database.execute(_TURN_NOW, [webhook_ids])

    healthy = events * len(well) // WORKSPACES
    return burst(stage, [*well, *ill], events=events, receipts=healthy, afterwards=remove).rate_per_s


def _without_endpoints(stage: Stage) -> Sequence[Tenant]:
    return [stage.tenants.make() for _ in range(_FAILING)]


THROUGHPUT: Final = (
    Scenario(
        "http",
        "events with one subscriber each, over http",
        one_subscriber,
        (
            Bound("ratio", "one subscriber ÷ bare loop", "at least", 1.4),
            Bound("cpu_workers_us", "worker, µs a delivery, http", "at most", 220.0),
            Bound("cpu_postgres_us", "PostgreSQL, µs a delivery, http", "at most", 120.0),
        ),
    ),
    Scenario(
        "tls",
        "the same over TLS, against a bare loop over TLS",
        one_subscriber_tls,
        (Bound("ratio", "one subscriber over TLS ÷ bare loop over TLS", "at least", 1.1),),
    ),
    Scenario(
        "celery-app",
        "the same against the obvious Celery app",
        against_obvious,
        (Bound("ratio", "one subscriber ÷ obvious Celery app", "at least", 8.0),),
    ),
    Scenario("one-endpoint", "one endpoint that gets all events", one_endpoint),
    Scenario("fan-out-100", "events with 100 subscribers each", small_fan_out),
    Scenario(
        "fan-out-10000",
        "one event with 10,000 subscribers",
        large_fan_out,
        (Bound("ratio", "fan-out of 10,000 ÷ bare loop", "at least", 1.0),),
    ),
    Scenario(
        "failing",
        "what healthy endpoints get while a tenth answers 500",
        a_tenth_failing,
        (Bound("ratio", "healthy endpoints' rate with a tenth failing ÷ quiet", "at least", 0.85),),
    ),
)
