"""Events over gRPC, delivered end to end: one call an event, and in batches, with 1, 16 and 64 callers.

Two clients make the calls: threads of a Python program, which take about as much of the two cores as the server does,
and a light one (:mod:`noteflow_hooks.bench.light`), which takes next to nothing, so that the system is measured.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench import light
from noteflow_hooks.bench.against import between_bare
from noteflow_hooks.bench.calling import Task
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import BODY, cpu_us, settle, until_received, used_s
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

PUBLISH: Final = "/noteflow.v1.EventService/PublishEvent"
#: A prepared request of :data:`PUBLISH`.
EVENT: Final = pb.PublishEventRequest(event_type="meeting.completed", payload_json=BODY).SerializeToString()
#: How many POSTs the bare loops make on either side of a measurement.
_POSTS: Final = 3_000
#: Events of each measurement, by the number of callers: a second or two of them.
_EVENTS: Final = {1: 600, 16: 2_400, 64: 2_400}
#: The parts of the system whose processor time an event costs.
_PARTS: Final = ("server", "workers", "postgres", "valkey")
_STORED: Final = "SELECT count(*) FROM noteflow.webhook_events WHERE workspace_id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Load:
    """What is published."""

    method: str
    message: bytes
    #: Calls, and how many of them are under way at once.
    calls: int
    callers: int
    #: Events in each call.
    batch: int = 1

    @property
    def events(self) -> int:
        """How many events that makes."""
        return self.calls * self.batch


@dataclass(frozen=True, slots=True)
class Client:
    """A way to publish."""

    name: str
    #: Publishes as these workspaces, and returns the moment before the first call, by the monotonic clock.
    publish: Callable[[Stage, Load, Sequence[Tenant]], float]
    #: Returns the workspaces, with an endpoint each, or raises SkippedError where the client isn't to be had.
    tenants: Callable[[Stage], Sequence[Tenant]]


def call_from_python(stage: Stage, task: Task, *, server: str | None = None) -> float:
    """Make calls from Python; return the moment before the first one, by the monotonic clock, in seconds.

    They go to the system's own server unless another one's ``HOST:PORT`` is given.
    """
    address = server if server is not None else stage.system.grpc
    client = stage.kept(f"the calling client of {address}", lambda: stage.process("calling", address))
    began: float = client.ask(json.dumps(asdict(task)))
    return began


def _from_python(stage: Stage, load: Load, tenants: Sequence[Tenant]) -> float:
    tokens = [tenant.token for tenant in tenants]
    return call_from_python(stage, Task(load.method, [load.message.hex()], tokens, load.calls, load.callers))


def _by_h2load(stage: Stage, load: Load, tenants: Sequence[Tenant]) -> float:
    tokens = [tenant.token for tenant in tenants]
    return light.call(stage, load.method, message=load.message, tokens=tokens, calls=load.calls, callers=load.callers)


def _light_tenants(stage: Stage) -> Sequence[Tenant]:
    light.needs_it()
    urls = (stage.url(f"/ok/{number}") for number in range(light.PROCESSES))
    return stage.kept("the light client's workspaces", lambda: stage.tenants.make_each(urls))


PYTHON: Final = Client("over-grpc-python", _from_python, lambda stage: stage.workspaces())
LIGHT: Final = Client("over-grpc", _by_h2load, _light_tenants)


def one_by_one(stage: Stage, *, client: Client, callers: int) -> Values:
    """Measure one call an event, against the bare loop."""
    tenants = client.tenants(stage)
    load = Load(PUBLISH, EVENT, stage.count(_EVENTS[callers]), callers)
    bare, found = between_bare(
        stage, stage.count(_POSTS), lambda: delivered(stage, load, client=client, tenants=tenants)
    )
    return {"ratio": found["rate_per_s"] / bare, "bare_per_s": bare, **found}


def delivered(stage: Stage, load: Load, *, client: Client, tenants: Sequence[Tenant]) -> Values:
    """Publish, and measure until all is delivered: the rate, and what an event costs in µs, by part and in all."""
    stored, before = _stored(stage, tenants), used_s(stage)
    stage.receiver.ask("reset")
    began = client.publish(stage, load, tenants)
    if (found := _stored(stage, tenants) - stored) != load.events:
        raise NoteFlowHooksError(f"of {load.events} events {found} were stored: calls were refused")
    took_s = until_received(stage, load.events) - began
    settle(stage)
    used = cpu_us(before, used_s(stage), each=load.events)
    all_us = sum(used[f"cpu_{part}_us"] for part in _PARTS)
    return {"rate_per_s": load.events / took_s, "us_an_event": all_us, **used}


def _stored(stage: Stage, tenants: Sequence[Tenant]) -> int:
    row = stage.database.execute(_STORED, [[tenant.workspace_id for tenant in tenants]]).fetchone()
    assert row is not None  # noqa: S101 - a count always has a row
    found: int = row[0]
    return found


def python_peak_per_s(stage: Stage) -> float:
    """Return how many events a second 16 callers in Python published in this round; measure it if none have yet."""
    if stage.peak_per_s is None:
        from_python(stage, callers=16)
    return stage.peak_per_s or 0.0


def from_python(stage: Stage, *, callers: int) -> Values:
    """Measure one call an event from Python."""
    found = one_by_one(stage, client=PYTHON, callers=callers)
    if callers == 16:  # noqa: PLR2004 - the figure that others are held against
        stage.peak_per_s = found["rate_per_s"]
    return found


_BOUNDS: Final = {
    1: (Bound("ratio", "over gRPC, one caller, one call an event, delivered ÷ bare loop", "at least", 0.14),),
    16: (
        Bound("ratio", "over gRPC, 16 callers, one call an event, delivered ÷ bare loop", "at least", 0.46),
        Bound(
            "us_an_event", "server, worker, PostgreSQL and Valkey, µs an event over gRPC, 16 callers", "at most", 900.0
        ),
    ),
}

OVER_GRPC: Final = (
    *(
        Scenario(
            f"over-grpc-{callers}",
            f"one call an event by a light client, {callers} at once, against a bare loop",
            partial(one_by_one, client=LIGHT, callers=callers),
            _BOUNDS.get(callers, ()),
            group="over-grpc",
        )
        for callers in _EVENTS
    ),
    *(
        Scenario(
            f"over-grpc-python-{callers}",
            f"the same from Python, {callers} at once",
            partial(from_python, callers=callers),
            group="over-grpc",
        )
        for callers in _EVENTS
    ),
)
