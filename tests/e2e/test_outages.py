"""Redis, and PostgreSQL, gone for a minute under load: what is accepted is delivered all the same, once each."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psutil
import pytest
from redis.exceptions import RedisError

from noteflow_hooks.broker.names import DELIVER_QUEUE, DISPATCH_QUEUE
from noteflow_hooks.maintenance.rescue import QUEUE_BOUND
from tests.chaos.ledgers import Accepted, read
from tests.chaos.publisher import Publisher
from tests.support.steady_publisher import posts
from tests.support.system_rig import SystemRig
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.chaos

AWAY_S: Final = 60.0
RATE_PER_S: Final = 100
#: Some seconds before the outage, all of it, and some after.
EVENTS: Final = 7_500
BEFORE_S: Final = 5.0
#: Within this all that waited is delivered.
DRAINED_S: Final = 60.0
PATHS: Final = ("/first", "/second")
WORKERS: Final = ("worker-1", "worker-2")
#: As often as a system in production has it.
PERIODS: Final = {"relay_every_s": 5, "relay_after_s": 5, "sweep_every_s": 5}
LEFT: Final = """
SELECT count(*) FROM noteflow.webhook_events AS event
WHERE created_at <= %s AND (dispatched_at IS NULL OR EXISTS (
    SELECT FROM noteflow.webhook_deliveries WHERE event_id = event.id AND status <> 'succeeded'))
"""


@contextmanager
def under_load(rig: SystemRig, ledger: Path) -> Iterator[Publisher]:
    """Publish to two endpoints at the rate, from some seconds before the block on; end once all is accepted."""
    for path in PATHS:
        rig.webhook(path)
    moments = [number / RATE_PER_S for number in range(EVENTS)]
    with Publisher(rig.system.grpc, rig.token, moments=moments, rate_per_s=2 * RATE_PER_S, ledger=ledger) as publisher:
        until(lambda: publisher.count >= BEFORE_S * RATE_PER_S, what="the first events are accepted")
        yield publisher
        until(lambda: publisher.is_done, what="everything is accepted", timeout_s=120)


def pass_away(rig: SystemRig) -> None:
    """Let the outage last; workers must not die of it, nor spin."""
    pids = [rig.pid(name) for name in WORKERS]
    began, used_s = time.monotonic(), sum(map(_cpu_s, pids))
    until(lambda: time.monotonic() > began + AWAY_S, what="the minute is over", timeout_s=AWAY_S + 5)
    assert [rig.pid(name) for name in WORKERS] == pids
    assert sum(map(_cpu_s, pids)) - used_s < AWAY_S / 10


def drain(rig: SystemRig, look: Callable[[], object] = lambda: None) -> None:
    """Wait until all events from before now are delivered, looking meanwhile; fail where it takes too long."""
    [(now,)] = rig.database.execute("SELECT clock_timestamp()").fetchall()

    def is_drained() -> bool:
        look()
        return rig.database.execute(LEFT, [now]).fetchall() == [(0,)]

    until(is_drained, what="it drains", timeout_s=DRAINED_S)


def assert_delivered_once(rig: SystemRig, accepted: list[Accepted]) -> None:
    """Expect every accepted event at each endpoint, in one POST."""
    ids = {each.event_id for each in accepted}
    assert len(ids) == EVENTS
    until(lambda: _count(rig) == len(PATHS) * EVENTS, what="all deliveries are settled")
    for path in PATHS:
        assert posts(rig.receiver, path) == dict.fromkeys(ids, 1)


def test_redis_gone_for_a_minute_fails_no_call_and_loses_nothing(tmp_path: Path) -> None:
    """It comes back empty; what waited is delivered within a minute, and its queues stay within their bound."""
    lengths: list[int] = []
    with SystemRig(tmp_path / "system", workers=2, **PERIODS) as rig:
        with under_load(rig, tmp_path / "ledger"):
            rig.kill("valkey")
            pass_away(rig)
            rig.restart("valkey")
            drain(rig, lambda: lengths.extend(_queued(rig)))
        accepted = read(tmp_path / "ledger", Accepted)
        assert {each.tries for each in accepted} == {1}
        assert_delivered_once(rig, accepted)
    assert max(lengths) <= QUEUE_BOUND


def test_postgres_gone_for_a_minute_accepts_nothing_falsely_and_loses_nothing(tmp_path: Path) -> None:
    """Calls are refused meanwhile, and tried again by their callers; all is delivered within a minute of its return."""
    with SystemRig(tmp_path / "system", workers=2, **PERIODS) as rig:
        with under_load(rig, tmp_path / "ledger") as publisher:
            rig.disconnect()
            rig.kill("postgres")
            before = publisher.count
            pass_away(rig)
            # Calls that were answered just then may be counted a moment later.
            assert publisher.count - before <= RATE_PER_S
            rig.restart("postgres")
            drain(rig)
        assert publisher.refusals == []
        assert_delivered_once(rig, read(tmp_path / "ledger", Accepted))


def _queued(rig: SystemRig) -> list[int]:
    """Return how long the queues are; none while Redis is not back yet."""
    with suppress(RedisError):
        return [int(str(rig.redis.llen(queue))) for queue in (DISPATCH_QUEUE, DELIVER_QUEUE)]
    return []


def _count(rig: SystemRig) -> int:
    statement = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE status = 'succeeded'"
    [(count,)] = rig.database.execute(statement).fetchall()
    return int(count)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
