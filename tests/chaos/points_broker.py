"""Kills where something is said to Redis, or is to be said: what it does not hear, or forgets, costs no event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.points_holds import Kept, dispatch_held, frozen, writes_held
from tests.support.receiver_connection import Answer
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.chaos.points_stage import Stage

#: More endpoints than one task sends to by itself: what is beyond goes on as a message.
_BEYOND: Final = 5


def server_before_it_announces(stage: Stage) -> None:
    """Kill the server with the event committed and its announcement in no queue."""
    stage.subscribe()
    with writes_held(stage.rig.redis):
        stage.publish()
        statement = "SELECT FROM noteflow.webhook_events WHERE id = %s AND dispatched_at IS NULL"
        until(lambda: stage.rig.database.execute(statement, [stage.event_id]).fetchall(), what="the event's row")
        stage.kill("server")
    stage.note()


def worker_before_it_hints(stage: Stage) -> None:
    """Kill the workers with many deliveries made and the message that would hand some of them over in no queue."""
    last = stage.subscribe(count=int(stage.rig.settings.get("deliver_chunk", 50)) + _BEYOND)
    with dispatch_held(stage.rig, last) as lock:
        stage.publish()
        lock.wait()
        # Frozen too, so that nothing of what the statement has claimed is sent before the kill.
        with writes_held(stage.rig.redis), frozen(stage.rig, stage.workers):
            lock.release()
            until(lambda: len(stage.rows()) == len(stage.paths), what="the deliveries are made")
            stage.kill(*stage.workers)
    stage.note()
    assert any(each.status == "pending" for each in stage.rows()), "all were for the dead one itself to send"


def worker_before_it_acknowledges(stage: Stage) -> None:
    """Kill the workers with the result on record, and Redis frozen before it could hear of it."""
    answer = Kept()
    stage.subscribe(answer, Answer())
    stage.publish()
    answer.wait()
    with stage.rig.frozen("valkey"):
        answer.release()
        stage.reach("succeeded", attempts=1)
        stage.kill(*stage.workers)
    stage.note()


def worker_whose_retry_is_refused(stage: Stage) -> None:
    """Kill the workers with a failed attempt on record, and Redis refusing to take the wake-up at the next one."""
    stage.failures = 1
    failure = Kept(Answer(500))
    stage.subscribe(failure, Answer())
    stage.publish()
    failure.wait()
    # Beat's own messages would be refused too, and what is refused then says nothing of the worker.
    with stage.rig.frozen("beat"):
        _refuse(stage, failure)
    stage.note()


def _refuse(stage: Stage, failure: Kept) -> None:
    client = stage.rig.redis
    client.execute_command("ACL", "SETUSER", "default", "-lpush")
    client.execute_command("ACL", "LOG", "RESET")
    try:
        failure.release()
        stage.reach("pending", attempts=1)
        until(lambda: client.execute_command("ACL", "LOG"), what="the wake-up is refused")
        stage.kill(*stage.workers)
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+lpush")


def redis_before_it_is_asked(stage: Stage) -> None:
    """Kill Redis, which keeps nothing, with the announcement in its queue and nobody there to take it."""
    stage.subscribe()
    client = stage.rig.redis
    with frozen(stage.rig, stage.workers):
        # A frozen worker may have asked before: it would get the message, and Redis no longer have it.
        until(lambda: not any("b" in each["flags"] for each in client.client_list()), what="nobody waits in Redis")
        stage.publish()
        until(lambda: client.llen("dispatch"), what="the event is announced")
        stage.note()
        stage.kill("valkey")
        stage.revive()
        assert client.llen("dispatch") == 0
