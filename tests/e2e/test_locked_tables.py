"""A lock on the deliveries that outlasts their leases, as of VACUUM FULL or a rewrite: what is answered stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from tests.support.steady_publisher import posts
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

EVENTS: Final = 20
LOCK: Final = "LOCK TABLE noteflow.webhook_deliveries IN ACCESS EXCLUSIVE MODE"
#: For how long the last of the leases has been over.
OVER: Final = "SELECT clock_timestamp() - max(lease_expires_at) > interval '4 s' FROM noteflow.webhook_deliveries"
STILL_HELD: Final = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE status = 'sending'"


@pytest.mark.chaos
def test_what_was_answered_while_the_table_was_locked_is_sent_once(tmp_path: Path) -> None:
    """Sweeps and results wait for the same lock, for longer than the leases; the results go first."""
    path = a_path()
    with SystemRig(tmp_path, sweep_every_s=1) as rig:
        webhook = rig.webhook(path, timeout_ms=2000)
        rig.receiver.hold()
        sent = {rig.publish() for _ in range(EVENTS)}
        rig.receiver.wait_for(EVENTS, path=path)
        with psycopg.connect(rig.system.database_url) as other:
            other.execute(LOCK)
            rig.receiver.release()
            until(lambda: other.execute(OVER).fetchone() == (True,), what="leases are over for a while")
        deliveries = rig.settled(webhook, "succeeded", count=EVENTS)
        assert {each.attempt_count for each in deliveries} == {1}
        assert posts(rig.receiver, path) == dict.fromkeys(sent, 1)


@pytest.mark.chaos
def test_a_killed_workers_deliveries_come_back_under_lasting_contention(tmp_path: Path) -> None:
    """Somebody holds the table again and again, each time for longer than a sweep takes for a lock."""
    path = a_path()
    with SystemRig(tmp_path, sweep_every_s=1) as rig:
        webhook = rig.webhook(path, timeout_ms=1000)
        rig.receiver.hold()
        event_id = rig.publish()
        rig.receiver.wait_for(1, path=path)
        rig.kill("worker-1")
        rig.receiver.release()
        rig.restart("worker-1")
        until(lambda: contended(rig), what="a run reclaims all the same")
        rig.settled(webhook, "succeeded")
        assert posts(rig.receiver, path) == {event_id: 2}


def contended(rig: SystemRig) -> bool:
    """Hold the table until a sweep has waited for too long; return whether the delivery is not held any more."""
    with psycopg.connect(rig.system.database_url) as other:
        other.execute(LOCK)
        [(held,)] = other.execute(STILL_HELD).fetchall()
        if held:
            until(lambda: sweep_waits(rig, other), what="a sweep waits")
    return not held


def sweep_waits(rig: SystemRig, other: psycopg.Connection) -> bool:
    statement = """
        SELECT EXISTS (
            SELECT FROM pg_stat_activity
            WHERE %s = ANY(pg_blocking_pids(pid)) AND query LIKE '%%LOCK TABLE noteflow.webhook_deliveries%%'
              AND clock_timestamp() - query_start > interval '1.2 s'
        )
    """
    return rig.database.execute(statement, [other.info.backend_pid]).fetchone() == (True,)
