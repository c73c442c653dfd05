"""Sends events through the whole system: commits them at once, wakes the workers as the server does, and waits."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.bench.report import CPU
from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.usage import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

#: The payload of each event, and the body of each POST of the bare loop.
BODY: Final = json.dumps(
    {
        "event": "meeting.completed",
        "timestamp": "2026-01-31T12:00:00.000000+00:00",
        "meeting_id": "6d5a9a1e-7b0e-4f0a-8d1f-3f1b6f9d8c11",
        "title": "Weekly",
        "duration_seconds": 1800.0,
        "segment_count": 120,
        "has_summary": True,
    },
    separators=(",", ":"),
)
_INSERT: Final = (
    "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at, traceparent)"
    " SELECT (%s::uuid[])[1 + number %% %s], 'meeting.completed', %s::json, now(),"
    " CASE WHEN number %% %s::integer = 0 THEN '00-' || md5(random()::text) || '-00f067aa0ba902b7-01' END"
    " FROM generate_series(0, %s - 1) AS number RETURNING id"
)
_WAITING: Final = (
    "SELECT EXISTS (SELECT FROM noteflow.webhook_events WHERE dispatched_at IS NULL)"
    " OR EXISTS (SELECT FROM noteflow.delivery_queue)"
)
_SENDING: Final = "SELECT EXISTS (SELECT FROM noteflow.delivery_queue WHERE status = 'sending')"
_UNDISPATCHED: Final = "SELECT id FROM noteflow.webhook_events WHERE dispatched_at IS NULL"


#: What the receiver counts.
POSTS: Final = "posts"
EVENTS: Final = "events"


@dataclass(frozen=True, slots=True)
class Burst:
    """The result of events that were announced all at once."""

    rate_per_s: float
    #: The processor time in µs that a delivery took, by kind of process.
    cpu_us: Values


def _nothing() -> None:
    """Do nothing."""


def burst(
    stage: Stage,
    tenants: Sequence[Tenant],
    *,
    events: int,
    receipts: int | None = None,
    what: str = POSTS,
    traced: int | None = None,
    afterwards: Callable[[], None] = _nothing,
) -> Burst:
    """Send events, wait until all is delivered, and return how fast they came.

    ``receipts`` is how many are measured, by default one for each event. Later ones are waited for, not measured.
    ``what`` is what counts as one: a POST, or each of the events that a POST may have.
    ``afterwards`` is called before that. Each so-many-th event is ``traced``.
    """
    expected = receipts if receipts is not None else events
    ids = _commit(stage, tenants, events, traced)
    stage.receiver.ask("reset")
    before = used_s(stage)
    began = time.monotonic()
    stage.publishers.events.announce(ids)
    took_s = until_received(stage, expected, what=what) - began
    afterwards()
    settle(stage)
    return Burst(expected / took_s, cpu_us(before, used_s(stage), each=expected))


def used_s(stage: Stage) -> dict[str, float]:
    """Return the processor seconds that each kind of process has used; the benchmark's own questions don't count."""
    return cpu_seconds(_pids(stage), without=[stage.database.info.backend_pid])


def cpu_us(before: Values, after: Values, *, each: int) -> Values:
    """Return the processor time in µs that each of so many deliveries took, by kind of process."""
    return {f"{CPU}{name}_us": (after[name] - before[name]) / each * 1e6 for name in before}


def until_received(stage: Stage, receipts: int, *, what: str = POSTS) -> float:
    """Wait for so many receipts and return the moment of the last one, by the monotonic clock, in seconds."""
    counted: dict[str, Any] = {}

    def is_there() -> bool:
        counted.update(stage.receiver.ask("count"))
        return bool(counted[what] >= receipts)

    stage.wait(is_there, what=f"{receipts} receipts")
    last: float = counted["last"]
    return last


def until_idle(stage: Stage) -> None:
    """Wait until no POST is under way."""
    stage.wait(lambda: stage.database.execute(_SENDING).fetchone() == (False,), what="no POST is under way")


def settle(stage: Stage) -> None:
    """Wait until nothing is pending or under way; wake the workers for events whose wake-ups were lost."""
    left = [row[0] for row in stage.database.execute(_UNDISPATCHED).fetchall()]
    stage.publishers.events.announce(left)
    stage.wait(lambda: stage.database.execute(_WAITING).fetchone() == (False,), what="every delivery is settled")


def _commit(stage: Stage, tenants: Sequence[Tenant], events: int, traced: int | None) -> list[UUID]:
    workspace_ids = [tenant.workspace_id for tenant in tenants]
    rows = stage.database.execute(_INSERT, [workspace_ids, len(workspace_ids), BODY, traced, events]).fetchall()
    return [row[0] for row in rows]


def _pids(stage: Stage) -> dict[str, list[int]]:
    found = stage.system.processes
    workers = [found[name] for name in (f"worker-{number}" for number in range(1, WORKERS + 1)) if name in found]
    return {
        "server": [found["server"]],
        "workers": workers,
        "postgres": [found["postgres"]],
        "valkey": [found["valkey"]],
        "receiver": [stage.receiver.pid],
    }
