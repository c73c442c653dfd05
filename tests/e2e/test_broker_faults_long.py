"""Faults of Redis and of workers that take their time, or a machine's: a slow or full broker, floods, long POSTs."""

from __future__ import annotations

import signal
import statistics
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest

from noteflow_hooks.local.stack import keep_running
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.stack.programs import BEAT, SERVER, worker_command
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.extra_programs import DelayedRedis, log_of, started
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.receiver_connection import ReceiverConnection

pytestmark = pytest.mark.chaos

#: What a client allows a call, whatever happens to Redis.
DEADLINE_S: Final = 2.0
#: What compose.yaml gives a worker that is told to stop.
GRACE_S: Final = 50


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def plain(pool: str, *, app: str = "workers.app") -> Sequence[str]:
    """Return the command of a worker under that pool, with two places for tasks."""
    return (
        sys.executable,
        "-m",
        "celery",
        "-A",
        app,
        "worker",
        "-P",
        pool,
        "-c",
        "2",
        "-l",
        "INFO",
        "-n",
        f"{pool}@%h",
    )


def test_half_a_second_more_to_redis_costs_time_and_nothing_else(rig: SystemRig) -> None:
    """Server, workers and beat are all that far from it: each event comes once, and messages don't pile up."""
    path, address = a_path(), free_address()
    webhook = rig.webhook(path)
    for name in ("worker-1", "beat"):
        rig.kill(name)
    with (
        DelayedRedis(rig) as redis,
        started(rig, "far-server", SERVER, redis_url=redis.url, grpc_bind=address),
        started(rig, "far-worker-1", worker_command(1), redis_url=redis.url),
        started(rig, "far-worker-2", worker_command(2), redis_url=redis.url),
        started(rig, "far-beat", BEAT, redis_url=redis.url),
        WireClient(address, rig.token) as rig.client,
    ):
        rig.client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Far"), wait_for_ready=True, timeout=PATIENCE_S)
        rig.publish()
        rig.settled(webhook, "succeeded")
        redis.add_ms(500)
        before = rig.messages()
        for _ in range(500):
            rig.publish()
        rig.settled(webhook, "succeeded", count=501, timeout_s=120)
        assert rig.messages() - before < 500
    for name in ("worker-1", "beat"):
        rig.restart(name)
    assert len(rig.receiver.wait_for(501, path=path)) == 501


def refusals(rig: SystemRig) -> int:
    """Return how many commands Redis has refused since it is full: who meets that tells of it once."""
    errors: Any = rig.redis.info("errorstats")
    return int(errors.get("errorstat_OOM", {"count": 0})["count"])


def test_a_full_redis_loses_nothing_and_keeps_no_worker_down(rig: SystemRig) -> None:
    """A worker that dies meanwhile is started again as `up` does it, waits for room and delivers each event once."""
    path = a_path()
    webhook = rig.webhook(path)
    with full(rig):
        for _ in range(20):
            rig.stop_meeting(rig.meeting(), within_s=DEADLINE_S)
        rig.kill("worker-1")
        log = log_of(rig, "worker-1")
        told, met = log.read_text().count("OutOfMemoryError"), refusals(rig)
        supervised(rig, lambda: log.read_text().count("OutOfMemoryError") > told, what="the new one meets it")
        supervised(rig, lambda: refusals(rig) > met + 20, what="it is met for a while")
        worker = rig.pid("worker-1")
    delivered = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND status = 'succeeded'"
    supervised(rig, lambda: count(rig, delivered, webhook.id) == 20, what="all are delivered")
    assert rig.pid("worker-1") == worker
    assert len(rig.receiver.wait_for(20, path=path)) == 20


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_plain_worker_outlives_a_full_redis(rig: SystemRig, pool: str) -> None:
    """Under any pool, and with nobody there to start it again; what failed meanwhile is tried again."""
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(200))
    webhook = rig.webhook(path)
    rig.kill("worker-1")
    with started(rig, f"plain-{pool}", plain(pool)) as worker:
        pid = worker.pid
        rig.receiver.hold()
        rig.publish()
        rig.receiver.wait_for(1, path=path)
        with full(rig):
            rig.receiver.release()
            due = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND next_attempt_at < now()"
            until(lambda: count(rig, due + " AND attempt_count = 1", webhook.id), what="it failed and is due")
        rig.settled(webhook, "succeeded")
        assert worker.pid == pid
    rig.restart("worker-1")
    assert len(rig.receiver.wait_for(2, path=path)) == 2


@contextmanager
def full(rig: SystemRig) -> Iterator[None]:
    """Have Redis refuse all that takes room, for as long as the block runs."""
    used = rig.redis.info("memory")
    assert isinstance(used, dict)
    rig.redis.config_set("maxmemory", used["used_memory"] - 200_000)
    try:
        yield
    finally:
        rig.redis.config_set("maxmemory", 0)


def supervised(rig: SystemRig, check: Callable[[], bool], *, what: str) -> None:
    """Return once it is true; whatever of the system dies meanwhile is started again as by `up`."""
    ends_at = time.monotonic() + PATIENCE_S
    keep_running(rig.system.parts, ended=lambda: check() or time.monotonic() > ends_at)
    assert check(), what


def count(rig: SystemRig, statement: str, *values: object) -> int:
    """Return the number that the statement selects."""
    [(found,)] = rig.database.execute(statement, values).fetchall()
    return int(found)


def test_a_pool_child_killed_in_mid_post_costs_one_duplicate(rig: SystemRig) -> None:
    """The prefork worker lives on, with another child in its place, and makes the delivery after its lease."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=1000)
    rig.kill("worker-1")
    rig.receiver.hold()
    with started(rig, "prefork", plain("prefork")) as worker:
        pid = worker.pid
        rig.publish()
        rig.receiver.wait_for(1, path=path)
        [child] = [each for each in psutil.Process(pid).children() if speaks_to(each, rig.receiver.port)]
        child.kill()
        rig.receiver.release()
        [delivery] = rig.settled(webhook, "succeeded")
        until(lambda: len(living(psutil.Process(pid).children()) - {child}) == 2, what="another child is there")
        assert worker.pid == pid
    rig.restart("worker-1")
    assert [each.error_kind for each in delivery.attempts] == ["interrupted", ""]
    requests = rig.receiver.wait_for(2, path=path)
    assert [each.header("webhook-id") for each in requests] == [delivery.event_id] * 2


def living(processes: list[psutil.Process]) -> set[psutil.Process]:
    """Return those that are more than what their parent has not yet noticed the end of."""
    return {each for each in processes if each.status() != psutil.STATUS_ZOMBIE}


def speaks_to(process: psutil.Process, port: int) -> bool:
    """Tell whether the process has a connection to that port."""
    lines = process.net_connections("tcp")
    return any(each.raddr.port == port for each in lines if each.status == psutil.CONN_ESTABLISHED)


@pytest.mark.parametrize("pool", ["gevent", "prefork", "threads"])
def test_a_worker_told_to_stop_finishes_a_post_of_fifteen_seconds(rig: SystemRig, pool: str) -> None:
    """Within its grace; it takes nothing new meanwhile, which another one delivers, and nothing is sent twice."""
    path, quick = a_path(), a_path()
    rig.receiver.script(path, answers_late)
    slow = rig.webhook(path, timeout_ms=30_000)
    rig.kill("worker-1")
    with started(rig, f"told-to-stop-{pool}", plain(pool)) as worker:
        rig.publish()
        rig.receiver.wait_for(1, path=path)
        process = psutil.Process(worker.pid)
        process.send_signal(signal.SIGTERM)
        rig.restart("worker-1")
        other = rig.webhook(quick, events=["recording.started"])
        started_payload = '{"meeting_id":"m","title":"t"}'
        request = pb.PublishEventRequest(event_type="recording.started", payload_json=started_payload)
        rig.client.events.PublishEvent(request)
        rig.settled(other, "succeeded")
        assert rig.deliveries(slow)[0].status == "sending"
        until(lambda: worker.pid is None, what="it ends", timeout_s=GRACE_S)
    [delivery] = rig.settled(slow, "succeeded")
    assert [each.error_kind for each in delivery.attempts] == [""]
    assert len(rig.receiver.wait_for(1, path=path)) == 1


def answers_late(connection: ReceiverConnection) -> None:
    """Answer after fifteen seconds."""
    connection.pause(15)
    connection.send(Answer(200).encode())


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_retry_that_waits_longer_than_redis_does_is_made_once(rig: SystemRig, pool: str) -> None:
    """Its wait in the worker is five times as long as an unacknowledged message's in Redis."""
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(200))
    webhook = rig.webhook(path)
    rig.kill("worker-1")
    with started(rig, f"impatient-{pool}", plain(pool, app="tests.support.redelivering_app"), retry_base_s=5):
        rig.publish()
        rig.receiver.wait_for(1, path=path)
        before = rig.messages()
        [delivery] = rig.settled(webhook, "succeeded")
        sent = rig.messages() - before
        assert [each.status_code for each in delivery.attempts] == [500, 200]
    rig.restart("worker-1")
    assert len(rig.receiver.wait_for(2, path=path)) == 2
    # Its own, and those of relay and sweep.
    assert sent < 50


def test_ten_thousand_deliveries_for_a_dead_endpoint_hold_up_no_healthy_one(rig: SystemRig) -> None:
    """Its events come about as soon as they did before."""
    healthy, dead = a_path(), a_path()
    rig.receiver.script(dead, lambda connection: connection.pause(60))
    rig.webhook(healthy)
    latency_s(rig, healthy)
    quiet_s = latency_s(rig, healthy)
    with rig.connect(rig.new_workspace()) as stranger:
        request = pb.RegisterWebhookRequest(
            url=rig.receiver.url(dead), events=["meeting.completed"], timeout_ms=2000, max_retries=20
        )
        hung = stranger.webhooks.RegisterWebhook(request)
        rig.publish_many(10_000, webhook_workspace=hung.workspace_id)
        waiting = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND status <> 'succeeded'"
        until(lambda: count(rig, waiting, hung.id) == 10_000, what="all of them wait", timeout_s=60)
        rig.receiver.wait_for(10, path=dead)
        beside_s = latency_s(rig, healthy)
        assert count(rig, waiting, hung.id) == 10_000
        stranger.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=hung.id))
    assert beside_s <= 4 * quiet_s


def latency_s(rig: SystemRig, path: str) -> float:
    """Return the 95th percentile of how long an event takes to its endpoint, of two hundred one after the other."""
    taken, before = [], sum(each.path == path for each in rig.receiver.requests)
    for number in range(1, 201):
        began = time.monotonic()
        rig.publish()
        rig.receiver.wait_for(before + number, path=path)
        taken.append(time.monotonic() - began)
    return statistics.quantiles(taken, n=20)[-1]
