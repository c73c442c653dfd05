"""What may happen to Redis, to the workers and to beat, and what must be true after it: in rows and in requests."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pytest

from noteflow_hooks.broker.names import SWEEP_TASK
from noteflow_hooks.local.stack.programs import BEAT, worker_command
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.server.probe import check_serving
from tests.support.builders import a_payload
from tests.support.extra_programs import DelayedRedis, kill, log_of, started
from tests.support.receiver_connection import Answer
from tests.support.stopwatch import Stopwatch, answered_within
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.local.stack.programs import Program

#: One that says of each call that it made it.
TELLING_BEAT: Final = (*BEAT, "-l", "DEBUG")
#: What a client allows a call, whatever happens to Redis.
DEADLINE_S: Final = 2.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def a_held_post(rig: SystemRig, path: str, **fields: int) -> pb.Webhook:
    """Publish an event for a new endpoint there, and return once its request is in and its answer is kept back."""
    webhook = rig.webhook(path, **fields)
    rig.receiver.hold()
    rig.publish()
    rig.receiver.wait_for(1, path=path)
    return webhook


def count(rig: SystemRig, statement: str, *values: object) -> int:
    """Return the number that the statement selects."""
    [(found,)] = rig.database.execute(statement, values).fetchall()
    return int(found)


def assert_sent_twice(rig: SystemRig, webhook: pb.Webhook, path: str) -> None:
    """Expect one delivery that was sent once more after an interruption, the same as before, and no third time."""
    [delivery] = rig.settled(webhook, "succeeded")
    assert [each.error_kind for each in delivery.attempts] == ["interrupted", ""]
    requests = rig.receiver.wait_for(2, path=path)
    assert len(requests) == 2
    assert {each.header("webhook-id") for each in requests} == {delivery.event_id}


def test_a_flushed_redis_loses_no_event(rig: SystemRig) -> None:
    """Emptied with every wake-up in it, while no worker is there: each event comes once, without help."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.kill("worker-1")
    events = {rig.publish() for _ in range(20)}
    until(lambda: named_by_wake_ups(rig) == events, what="wake-ups for all of them wait")
    rig.redis.flushall()
    rig.restart("worker-1")
    rig.settled(webhook, "succeeded", count=20)
    assert len(rig.receiver.wait_for(20, path=path)) == 20


def named_by_wake_ups(rig: SystemRig) -> set[str]:
    """Return the ids of the events that messages in the queue name."""
    waiting: Any = rig.redis.lrange("dispatch", 0, -1)
    bodies = [json.loads(base64.b64decode(json.loads(each)["body"])) for each in waiting]
    return {event_id for [[event_ids], *_] in bodies for event_id in event_ids}


def test_a_frozen_redis_leaves_the_server_free_for_many_calls_at_once(rig: SystemRig) -> None:
    """More than it has threads are all answered in time, and it says that it serves."""
    path = a_path()
    webhook = rig.webhook(path)
    well_s = seconds_for_a_hundred(rig)
    with rig.frozen("valkey"):
        assert seconds_for_a_hundred(rig) < DEADLINE_S + 5 * well_s
        with answered_within(DEADLINE_S):
            check_serving(rig.system.grpc, timeout_s=PATIENCE_S)
    rig.settled(webhook, "succeeded", count=200)
    assert len(rig.receiver.wait_for(200, path=path)) == 200


def seconds_for_a_hundred(rig: SystemRig) -> float:
    """Publish a hundred events at once, and return how long it takes until all are accepted."""
    request = pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(a_payload()))
    with Stopwatch() as watch:
        calls = [rig.client.events.PublishEvent.future(request, timeout=PATIENCE_S) for _ in range(100)]
        assert len({call.result().id for call in calls}) == 100
        return watch.seconds


@pytest.mark.chaos
def test_retries_that_redis_refuses_are_made_all_the_same(rig: SystemRig) -> None:
    """It takes no wake-up for them while their waits begin and end; each is made once it does again, and once only."""
    path = a_path()
    rig.receiver.script(path, *[Answer(500)] * 5, Answer(200))
    webhook = a_held_post(rig, path)
    for _ in range(4):
        rig.publish()
    rig.receiver.wait_for(5, path=path)
    rig.redis.execute_command("ACL", "SETUSER", "default", "-lpush")
    try:
        rig.receiver.release()
        due = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND next_attempt_at < now()"
        until(lambda: count(rig, due + " AND attempt_count = 1", webhook.id) == 5, what="all of them wait and are due")
    finally:
        rig.redis.execute_command("ACL", "SETUSER", "default", "+lpush")
    delivered = rig.settled(webhook, "succeeded", count=5)
    assert {each.attempt_count for each in delivered} == {2}
    assert len(rig.receiver.wait_for(10, path=path)) == 10


@pytest.mark.chaos
def test_a_worker_killed_between_an_answer_and_its_record_sends_once_more(rig: SystemRig) -> None:
    """A lock in PostgreSQL keeps the answer from being recorded; the interrupted attempt is on record instead."""
    path = a_path()
    webhook = a_held_post(rig, path, timeout_ms=4000)
    waiting = "FROM pg_locks WHERE NOT granted AND relation = 'noteflow.webhook_attempts'::regclass"
    with psycopg.connect(rig.system.database_url) as locked:
        locked.execute("LOCK TABLE noteflow.webhook_attempts IN SHARE MODE")
        rig.receiver.release()
        until(lambda: count(rig, f"SELECT count(*) {waiting}"), what="the answer is in and can't be recorded")
        rig.kill("worker-1")
        # As PostgreSQL does by itself once it notices that nobody is there any more.
        rig.database.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
    rig.restart("worker-1")
    assert_sent_twice(rig, webhook, path)


@pytest.mark.chaos
def test_a_worker_killed_between_a_record_and_its_acknowledgement_sends_nothing_twice(rig: SystemRig) -> None:
    """Cut off from Redis, it records one of two answers and dies: only what it has not recorded is sent again."""
    path, other = a_path(), a_path()
    rig.receiver.script(other, lambda connection: connection.pause(60), Answer(200))
    hung = rig.webhook(other, timeout_ms=6000)
    rig.kill("worker-1")
    with DelayedRedis(rig) as redis, started(rig, "far-worker", worker_command(1), redis_url=redis.url) as worker:
        recorded = a_held_post(rig, path, timeout_ms=30_000)
        rig.receiver.wait_for(1, path=other)
        redis.swallow()
        rig.receiver.release()
        rig.settled(recorded, "succeeded")
        kill(worker)
    rig.restart("worker-1")
    # The sweep has been by for this one, so it would have been for the other.
    assert_sent_twice(rig, hung, other)
    assert len(rig.receiver.wait_for(1, path=path)) == 1


@pytest.mark.chaos
def test_a_worker_killed_soon_after_it_was_told_to_stop_hands_over(rig: SystemRig) -> None:
    """SIGTERM, and SIGKILL two seconds later with a POST still under way: one duplicate after the lease."""
    path = a_path()
    webhook = a_held_post(rig, path, timeout_ms=8000)
    worker = psutil.Process(rig.pid("worker-1"))
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(psutil.TimeoutExpired):
        worker.wait(timeout=2)
    rig.kill("worker-1")
    rig.receiver.release()
    rig.restart("worker-1")
    assert_sent_twice(rig, webhook, path)


@pytest.mark.chaos
def test_a_worker_frozen_beyond_its_lease_changes_nothing_when_it_wakes(rig: SystemRig) -> None:
    """Another delivers meanwhile; the answer that the first one comes back with, a failure, is not recorded."""
    path = a_path()
    rig.receiver.script(path, Answer(500, body=b"late"), Answer(200))
    webhook = a_held_post(rig, path, timeout_ms=4000)
    with started(rig, "worker-2", worker_command(2)):
        with rig.frozen("worker-1"):
            rig.receiver.release()
            rig.settled(webhook, "succeeded")
        fenced = "was reclaimed before its result was recorded"
        until(lambda: fenced in log_of(rig, "worker-1").read_text(), what="the first one has come back with it")
        assert_sent_twice(rig, webhook, path)


def test_with_beat_dead_new_events_flow_and_lost_hints_wait_for_its_return(rig: SystemRig) -> None:
    """What nobody was told of is not lost: it is delivered as soon as beat is back."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.kill("beat")
    rig.publish()
    rig.settled(webhook, "succeeded")
    rig.publish_many(5, webhook_workspace=webhook.workspace_id)
    rig.restart("beat")
    rig.settled(webhook, "succeeded", count=6)
    assert len(rig.receiver.wait_for(6, path=path)) == 6


@pytest.mark.parametrize("more", [1, pytest.param(4, marks=pytest.mark.chaos)])
def test_several_beats_send_nothing_twice(rig: SystemRig, more: int) -> None:
    """Each starts relay and sweep while wake-ups are lost, POSTs under way and failing: each attempt is made once."""
    path = a_path()
    rig.receiver.script(path, *[Answer(500)] * 10, Answer(200))
    with contextlib.ExitStack() as stack:
        beats = [stack.enter_context(started(rig, f"beat-{number}", TELLING_BEAT)) for number in range(2, 2 + more)]
        until(lambda: all(calls_of(rig, each) >= 2 for each in beats), what="all beats call")
        webhook = rig.webhook(path)
        rig.receiver.hold()
        rig.publish_many(50, webhook_workspace=webhook.workspace_id)
        rig.receiver.wait_for(1, path=path)
        before = [calls_of(rig, each) for each in beats]
        until(lambda: all(calls_of(rig, each) > was for each, was in zip(beats, before, strict=True)), what="once more")
        rig.receiver.release()
        delivered = rig.settled(webhook, "succeeded", count=50)
    assert sum(each.attempt_count for each in delivered) == 60
    assert len(rig.receiver.wait_for(60, path=path)) == 60


def calls_of(rig: SystemRig, beat: Program) -> int:
    """Return how often a beat has called for the sweep."""
    return log_of(rig, beat.name).read_text().count(f"{SWEEP_TASK} is due, and sent")
