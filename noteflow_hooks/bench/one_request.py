"""Many events for one endpoint in batches, against the same endpoint's single POSTs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import EVENTS, burst

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

_EVENTS: Final = 10_000
#: Single POSTs take as long for these.
_SINGLE_EVENTS: Final = 1_500
_BATCH_MAX: Final = 100


def in_batches(stage: Stage) -> Values:
    """Measure ten thousand events in batches of a hundred, between two measurements of single POSTs."""
    alone = stage.kept("one endpoint", lambda: stage.tenants.make([stage.url("/ok")]))
    batched = stage.kept("one endpoint with batches", partial(_with_batches, stage))
    events, singles = stage.count(_EVENTS), stage.count(_SINGLE_EVENTS)
    single, sent = between(
        stage,
        lambda: burst(stage, [alone], events=singles).rate_per_s,
        kind=("one endpoint", singles),
        measure=lambda: burst(stage, [batched], events=events, what=EVENTS),
    )
    return {"ratio": sent.rate_per_s / single, "rate_per_s": sent.rate_per_s, "single_per_s": single, **sent.cpu_us}


def _with_batches(stage: Stage) -> Tenant:
    tenant = stage.tenants.make()
    stage.tenants.register(tenant, [stage.url("/ok")], batch_max=_BATCH_MAX)
    return tenant


ONE_REQUEST: Final = (
    Scenario(
        "batches",
        "10,000 events for one endpoint, a hundred in a request",
        in_batches,
        (Bound("ratio", "in batches of 100 ÷ single POSTs, events a second", "at least", 5.0),),
    ),
)
