"""How much longer stopping a meeting takes with webhooks on, while Redis is well, frozen or dead.

Two servers over the same database, one of them with webhooks off, are called in turn, so that whatever else the machine
does slows both.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.calls import percentile
from noteflow_hooks.bench.outages import redis_dead, redis_frozen, redis_well
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.servers import without_webhooks
from noteflow_hooks.bench.traffic import settle
from noteflow_hooks.client import connect
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant
    from noteflow_hooks.client import Client

_CALLS: Final = 300


def stopping(stage: Stage, *, redis: Callable[[Stage, Tenant], AbstractContextManager[None]]) -> Values:
    """Measure StopMeeting with webhooks on and off, while ``redis`` keeps Redis in its state."""
    without = without_webhooks(stage).address
    tenant = stage.kept("a workspace with meetings", lambda: stage.tenants.make([stage.url("/ok")]))
    with connect(stage.system.grpc, tenant.token) as on, connect(without, tenant.token) as off:
        # The first calls only make the connections.
        _stop_in_turn(stage, [on, off], stage.tenants.hold_meetings(tenant, 2))
        meeting_ids = stage.tenants.hold_meetings(tenant, 2 * stage.count(_CALLS))
        with redis(stage, tenant):
            took_ms = _stop_in_turn(stage, [on, off], meeting_ids)
    settle(stage)
    on_p99, off_p99 = (percentile(each, 99) for each in took_ms)
    on_p50, off_p50 = (percentile(each, 50) for each in took_ms)
    return {
        "added_p99_ms": on_p99 - off_p99,
        "on_p99_ms": on_p99,
        "off_p99_ms": off_p99,
        "on_p50_ms": on_p50,
        "off_p50_ms": off_p50,
    }


def _stop_in_turn(stage: Stage, servers: Sequence[Client], meeting_ids: Sequence[str]) -> list[list[float]]:
    """Stop the same number of meetings at each server; return how long the calls took, by server."""
    took_ms: list[list[float]] = [[] for _ in servers]
    order = range(len(servers))
    for first in range(0, len(meeting_ids), len(servers)):
        stage.check()
        for server, meeting_id in zip(order, meeting_ids[first:], strict=False):
            request = pb.StopMeetingRequest(meeting_id=meeting_id)
            began = time.monotonic()
            servers[server].meetings.StopMeeting(request)
            took_ms[server].append((time.monotonic() - began) * 1000)
        # Work that a call leaves in the background must not always slow the same server's next call.
        order = order[::-1]
    return took_ms


def _bounds(state: str) -> tuple[Bound, ...]:
    return (Bound("added_p99_ms", f"StopMeeting, Redis {state}: p99 that webhooks add, in ms", "at most", 1.0),)


MEETINGS: Final = (
    Scenario(
        "stop-redis-well",
        "StopMeeting with webhooks on and off",
        partial(stopping, redis=redis_well),
        _bounds("well"),
    ),
    Scenario(
        "stop-redis-frozen",
        "the same while Redis is frozen",
        partial(stopping, redis=redis_frozen),
        _bounds("frozen"),
    ),
    Scenario(
        "stop-redis-dead",
        "the same while Redis is dead",
        partial(stopping, redis=redis_dead),
        _bounds("dead"),
    ),
)
