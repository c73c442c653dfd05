"""What one call costs the server and PostgreSQL, in µs of processor time, beside a call that does nothing.

The workers are frozen meanwhile, so that PostgreSQL works for the calls alone. The calls take turns in short passes:
what else the machine does is shared by all of them.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.calling import Task
from noteflow_hooks.bench.empty_server import METHOD
from noteflow_hooks.bench.over_grpc import EVENT, PUBLISH, call_from_python
from noteflow_hooks.bench.report import CALL
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.servers import Server, empty_server, own_server, without_webhooks
from noteflow_hooks.bench.traffic import settle
from noteflow_hooks.bench.usage import cpu_seconds
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

_PASSES: Final = 3
#: Calls of each kind in a pass, by the number of callers.
_CALLS: Final = {1: 50, 16: 200}
_MEETINGS: Final = "/noteflow.v1.MeetingService"


@dataclass(frozen=True, slots=True)
class _Call:
    """One kind of call."""

    name: str
    server: Callable[[Stage], Server]
    method: str
    #: Returns the requests of so many calls, or a single one for all of them.
    requests: Callable[[Stage, Tenant, int], Sequence[bytes]]


def _always(message: Message | bytes) -> Callable[[Stage, Tenant, int], Sequence[bytes]]:
    request = message if isinstance(message, bytes) else message.SerializeToString()
    return lambda _stage, _tenant, _count: [request]


def _stops(stage: Stage, tenant: Tenant, count: int) -> Sequence[bytes]:
    meeting_ids = stage.tenants.hold_meetings(tenant, count)
    return [pb.StopMeetingRequest(meeting_id=each).SerializeToString() for each in meeting_ids]


_CREATE: Final = _always(pb.CreateMeetingRequest(title="Weekly"))
_KINDS: Final = (
    _Call("bare", empty_server, METHOD, _always(b"")),
    _Call("empty", own_server, "/grpc.health.v1.Health/Check", _always(b"")),
    _Call("PublishEvent", own_server, PUBLISH, _always(EVENT)),
    _Call("ListWebhooks", own_server, "/noteflow.v1.WebhookService/ListWebhooks", _always(b"")),
    _Call("CreateMeeting", own_server, f"{_MEETINGS}/CreateMeeting", _CREATE),
    _Call("CreateMeeting_off", without_webhooks, f"{_MEETINGS}/CreateMeeting", _CREATE),
    _Call("StopMeeting", own_server, f"{_MEETINGS}/StopMeeting", _stops),
    _Call("StopMeeting_off", without_webhooks, f"{_MEETINGS}/StopMeeting", _stops),
)


def call_costs(stage: Stage, *, callers: int) -> Values:
    """Measure every kind of call."""
    tenant = stage.kept("a workspace that is called", lambda: stage.tenants.make([stage.url("/ok")]))
    calls, used = stage.count(_CALLS[callers]), defaultdict[str, float](float)
    settle(stage)
    with _workers_frozen(stage):
        for _ in range(_PASSES):
            for kind in _KINDS:
                for process, spent_s in _spent_s(stage, kind, tenant, calls=calls, callers=callers).items():
                    used[f"{CALL}{kind.name}_{process}_us"] += spent_s / (calls * _PASSES) * 1e6
    settle(stage)
    return {**_ratios(used), **used}


def _spent_s(stage: Stage, kind: _Call, tenant: Tenant, *, calls: int, callers: int) -> dict[str, float]:
    """Make the calls of one pass; return the seconds that they took of each process."""
    server = kind.server(stage)
    messages = [each.hex() for each in kind.requests(stage, tenant, calls)]
    task = Task(kind.method, messages, [tenant.token], calls, callers)
    pids = {"server": [server.pid], "postgres": [stage.system.processes["postgres"]]}
    own = [stage.database.info.backend_pid]
    before = cpu_seconds(pids, without=own)
    call_from_python(stage, task, server=server.address)
    after = cpu_seconds(pids, without=own)
    return {name: after[name] - before[name] for name in before}


def _ratios(used: Values) -> Values:
    def server_us(name: str) -> float:
        return used[f"{CALL}{name}_server_us"]

    def both_us(name: str) -> float:
        return server_us(name) + used[f"{CALL}{name}_postgres_us"]

    return {
        "publish_ratio": server_us("PublishEvent") / server_us("empty"),
        "publish_bare_ratio": server_us("PublishEvent") / server_us("bare"),
        "create_on_off_ratio": both_us("CreateMeeting") / both_us("CreateMeeting_off"),
        "stop_on_off_ratio": both_us("StopMeeting") / both_us("StopMeeting_off"),
    }


@contextmanager
def _workers_frozen(stage: Stage) -> Iterator[None]:
    pids = [pid for name, pid in stage.system.processes.items() if name.startswith("worker-")]
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)


_BOUNDS: Final = (
    Bound(f"{CALL}PublishEvent_server_us", "server, µs a PublishEvent, 16 callers", "at most", 450.0),
    Bound("publish_ratio", "the same ÷ an empty call (a health check) of the same server", "at most", 2.5),
    Bound("publish_bare_ratio", "the same ÷ a call of a server that has nothing but an empty call", "at most", 2.5),
    Bound(f"{CALL}ListWebhooks_server_us", "server, µs a ListWebhooks of one row, 16 callers", "at most", 700.0),
)

CALL_COSTS: Final = (
    Scenario("calls-1", "µs of a call, one caller", partial(call_costs, callers=1), group="calls"),
    Scenario("calls-16", "µs of a call, 16 callers", partial(call_costs, callers=16), _BOUNDS, group="calls"),
)
