"""Events over gRPC in batches of a hundred, delivered end to end, against the engine's own rate, as in `http`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between
from noteflow_hooks.bench.over_grpc import EVENT, LIGHT, PYTHON, Client, Load, delivered
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import burst
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_METHOD: Final = "/noteflow.v1.EventService/PublishEvents"
_BATCH: Final = 100
#: Events of each measurement, by the number of callers; every caller has a call at least.
_EVENTS: Final = {1: 2_000, 16: 3_200, 64: 6_400}
#: Events of the engine's own bursts, as `http` has them.
_ENGINE_EVENTS: Final = 3_000
#: Python's calls are so few here that the client makes no difference: it is shown once.
_CLIENTS: Final = {LIGHT: (1, 16, 64), PYTHON: (16,)}
_REQUEST: Final = pb.PublishEventRequest.FromString(EVENT)
#: A prepared request.
_MESSAGE: Final = pb.PublishEventsRequest(requests=[_REQUEST] * _BATCH).SerializeToString()


def in_batches(stage: Stage, *, client: Client, callers: int) -> Values:
    """Measure batches against what the engine delivers of events that are announced all at once."""
    tenants = client.tenants(stage)
    calls = max(1, stage.count(_EVENTS[callers]) // _BATCH)
    load = Load(_METHOD, _MESSAGE, calls, callers, _BATCH)
    announced = stage.count(_ENGINE_EVENTS)
    engine, found = between(
        stage,
        lambda: burst(stage, stage.workspaces(), events=announced).rate_per_s,
        kind=("engine", announced),
        measure=lambda: delivered(stage, load, client=client, tenants=tenants),
    )
    return {"ratio": found["rate_per_s"] / engine, "engine_per_s": engine, **found}


_BOUNDS: Final = {
    16: (Bound("ratio", "in batches of 100, 16 callers ÷ the engine's rate", "at least", 0.8),),
}


def _scenario(client: Client, callers: int) -> Scenario:
    return Scenario(
        f"{client.name}-batches-{callers}",
        f"the same in batches of {_BATCH}, {callers} at once, against the engine's rate",
        partial(in_batches, client=client, callers=callers),
        _BOUNDS.get(callers, ()) if client is LIGHT else (),
        group="over-grpc",
    )


BATCHES: Final = tuple(_scenario(client, callers) for client, each in _CLIENTS.items() for callers in each)
