"""How much hanging endpoints slow one that is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.calls import latencies_ms, percentile, publish
from noteflow_hooks.bench.publishing import Stream
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import settle

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

#: The number of endpoints: one is measured, the others get events of their own, and some of those hang.
_ENDPOINTS: Final = 100
_HANGING: Final = 20
#: Events a second to the measured endpoint, and to each of the others.
_RATE_PER_S: Final = 50.0
_OTHERS_PER_S: Final = 5.0
_SECONDS: Final = 6
_QUIET: Final = "recording.started"
_HURTING: Final = "recording.stopped"


def a_fifth_hanging(stage: Stage) -> Values:
    """Measure one endpoint's latency while all others answer, then while some of them never do."""
    tenant = stage.kept("a hundred endpoints", lambda: _hundred(stage))
    quiet = _p95_ms(stage, tenant, event_type=_QUIET)
    settle(stage)
    # New ones each time: the system already knows that the earlier ones are slow.
    hanging = stage.tenants.register(tenant, [stage.url("/hang")] * _HANGING, event_type=_HURTING)
    measured = _p95_ms(stage, tenant, event_type=_HURTING)
    # Removed first: a POST that the receiver hangs up on is tried again while its endpoint exists.
    stage.tenants.remove(hanging)
    stage.receiver.ask("release")
    settle(stage)
    return {"ratio": measured / quiet, "quiet_p95_ms": quiet, "p95_ms": measured}


def _hundred(stage: Stage) -> Tenant:
    tenant = stage.tenants.make([stage.url("/ok")])
    stage.tenants.register(tenant, [stage.url("/ok")] * (_ENDPOINTS - 1), event_type=_QUIET)
    stage.tenants.register(tenant, [stage.url("/ok")] * (_ENDPOINTS - 1 - _HANGING), event_type=_HURTING)
    return tenant


def _p95_ms(stage: Stage, tenant: Tenant, *, event_type: str) -> float:
    count = stage.count(round(_RATE_PER_S * _SECONDS))
    measured = Stream([tenant.token], count, _RATE_PER_S)
    others = Stream([tenant.token], round(count * _OTHERS_PER_S / _RATE_PER_S), _OTHERS_PER_S, event_type)
    return percentile(latencies_ms(stage, publish(stage, [measured, others])[0]), 95)


ISOLATION: Final = (
    Scenario(
        "hanging-endpoints",
        "one endpoint's latency while 20 of 100 hang, against while all are well",
        a_fifth_hanging,
        (Bound("ratio", "p95 beside 20 % hanging endpoints ÷ quiet", "at most", 1.5),),
    ),
)
