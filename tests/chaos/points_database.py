"""Kills while PostgreSQL has a worker's statement in hand, which a lock of ours holds up.

PostgreSQL may end such a statement when the worker is gone, or end it for the worker: each is a point of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.points_holds import Kept, dispatch_held, frozen, locked
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from tests.chaos.points_holds import Lock
    from tests.chaos.points_stage import Stage

_DELIVERIES: Final = "LOCK TABLE noteflow.webhook_deliveries IN SHARE MODE"
_ATTEMPTS: Final = "LOCK TABLE noteflow.webhook_attempts IN SHARE MODE"
#: A second leaves time to lock before the next claim.
_SOON: Final = Answer(503, (("Retry-After", "1"),))


def worker_in_dispatch(stage: Stage, *, cut: bool) -> None:
    """Kill the workers with the deliveries made and not committed."""
    with dispatch_held(stage.rig, stage.subscribe()) as lock:
        stage.publish()
        _kill_workers_at(stage, lock, cut=cut)


def worker_in_claim(stage: Stage, *, cut: bool) -> None:
    """Kill the workers with the claim of a retry on its way."""
    stage.failures = 1
    stage.subscribe(_SOON, Answer())
    stage.publish()
    stage.reach("pending", attempts=1)
    with locked(stage.rig, _DELIVERIES) as lock:
        _kill_workers_at(stage, lock, cut=cut)
    stage.is_elsewhere = stage.claimed != (not cut)


def worker_before_it_settles(stage: Stage, *, cut: bool) -> None:
    """Kill the workers with the answer given and its record on its way."""
    stage.subscribe()
    with locked(stage.rig, _ATTEMPTS) as lock:
        stage.publish()
        _kill_workers_at(stage, lock, cut=cut)


def _kill_workers_at(stage: Stage, lock: Lock, *, cut: bool) -> None:
    lock.wait()
    if cut:
        stage.kill(*stage.workers)
        lock.cut()
        lock.release()
    else:
        # Whoever stands still learns of no end. PostgreSQL would give up what waits 100 ms after its worker's death.
        with frozen(stage.rig, stage.workers):
            lock.release()
            stage.kill(*stage.workers)
    stage.note()


def postgres_before_it_settles(stage: Stage) -> None:
    """Kill PostgreSQL with the answer given and its record on its way; the worker lives on and may record it later."""
    stage.has_survivors = True
    answer = Kept()
    stage.subscribe(answer, Answer())
    with locked(stage.rig, _ATTEMPTS) as lock:
        stage.publish()
        answer.wait()
        answer.release()
        lock.wait()
        stage.note()
        stage.rig.disconnect()
        stage.kill("postgres")
