"""Events over gRPC in batches of a hundred, delivered end to end, against the engine's own rate, as in `http`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between
from noteflow_hooks.bench.over_grpc import EVENT, LIGHT, PYTHON, Client, Load, delivered
from noteflow_hooks.bench.scenario import Bound, Scenario, SkippedError
from noteflow_hooks.bench.traffic import burst
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_METHOD: Final = "PublishEvents"
_BATCH: Final = 100
#: Events of each measurement, by the number of callers; every caller has a call at least.
_EVENTS: Final = {1: 3_000, 16: 4_800, 64: 6_400}
#: A prepared request: its first field, repeated, holds PublishEvent's requests.
MESSAGE: Final = (b"\x0a" + bytes([len(EVENT) & 0x7F | 0x80, len(EVENT) >> 7]) + EVENT) * _BATCH


def in_batches(stage: Stage, *, client: Client, callers: int) -> Values:
    """Measure batches against what the engine delivers of as many events that are announced at once."""
    if _METHOD not in pb.DESCRIPTOR.services_by_name["EventService"].methods_by_name:
        raise SkippedError(f"the server has no {_METHOD}")
    tenants = client.tenants(stage)
    calls = max(1, stage.count(_EVENTS[callers]) // _BATCH)
    load = Load(f"/noteflow.v1.EventService/{_METHOD}", MESSAGE, calls, callers, _BATCH)
    engine, found = between(
        stage,
        lambda: burst(stage, stage.workspaces(), events=load.events).rate_per_s,
        kind=("engine", load.events),
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


BATCHES: Final = tuple(_scenario(client, callers) for client in (LIGHT, PYTHON) for callers in _EVENTS)
