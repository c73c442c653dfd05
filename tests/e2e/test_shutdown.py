"""Programs that are told to end under load: what is under way is finished or handed over, once, and in time."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.delivery.tuning import STORE_ENDING_S
from noteflow_hooks.local.stack.programs import PATIENCE_S
from tests.support.extra_programs import started
from tests.support.receiver_connection import Answer
from tests.support.steady_publisher import SteadyPublisher, posts, steady_publisher
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker, tell_to_end, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.local.stack.supervisor import Part
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from tests.support.receiver_connection import ReceiverConnection

#: The worst that a program may take; what it waits for here takes a fraction of it.
GRACE_S: Final = 40.0
#: How long the receiver keeps each answer back: longer than a worker takes to end that waits for nothing.
ANSWER_S: Final = 1.5
PER_S: Final = 25
GEVENT: Final = ("gevent", "-c", "16")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """A system without a worker: each test brings its own, for which this receiver is not slow."""
    with SystemRig(tmp_path_factory.mktemp("system"), workers=0, slow_after_s=5) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def answer_late(connection: ReceiverConnection) -> None:
    connection.pause(ANSWER_S)
    connection.send(Answer(200).encode())


def an_endpoint(rig: SystemRig) -> tuple[str, pb.Webhook]:
    """Register an endpoint whose receiver takes its time."""
    path = a_path()
    rig.receiver.script(path, answer_late)
    return path, rig.webhook(path)


def sending(rig: SystemRig, webhook: pb.Webhook) -> int:
    statement = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND status = 'sending'"
    [(count,)] = rig.database.execute(statement, [webhook.id]).fetchall()
    return int(count)


def sent_once(rig: SystemRig, webhook: pb.Webhook, path: str, load: SteadyPublisher) -> None:
    """Wait until every accepted event is delivered, and fail where one was sent twice."""
    rig.settled(webhook, "succeeded", count=len(load.accepted))
    assert posts(rig.receiver, path) == dict.fromkeys(load.accepted, 1)


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(GEVENT, id="gevent"),
        pytest.param(("threads", "-c", "16"), id="threads", marks=pytest.mark.chaos),
        pytest.param(("prefork", "-c", "2"), id="prefork", marks=pytest.mark.chaos),
    ],
)
def test_a_worker_that_is_told_to_end_under_load_leaves_nothing_half_done(
    rig: SystemRig, pool: tuple[str, ...]
) -> None:
    """It ends well and in time, with nothing `sending`; the next worker does the rest, and nothing is sent twice."""
    path, webhook = an_endpoint(rig)
    first, second = (f"{pool[0]}-{number}" for number in (1, 2))
    load = steady_publisher(rig, per_s=PER_S)
    with load.running():
        with started(rig, first, pooled_worker(*pool, name=first)) as worker:
            rig.receiver.wait_for(30, path=path)
            assert sending(rig, webhook) > 0
            tell_to_end(worker, within_s=GRACE_S)
            assert sending(rig, webhook) == 0
        before = len(posts(rig.receiver, path))
        load.wait_for(20)
    assert len(posts(rig.receiver, path)) == before
    with started(rig, second, pooled_worker(*pool, name=second)):
        sent_once(rig, webhook, path, load)


@pytest.mark.chaos
def test_a_process_group_that_is_told_to_end_sends_nothing_twice(rig: SystemRig) -> None:
    """As systemd ends a service: child processes leave SIGTERM to their worker, and finish their POSTs."""
    path, webhook = an_endpoint(rig)
    first, second = "group-1", "group-2"
    with started(rig, first, pooled_worker("prefork", "-c", "2", name=first)) as worker:
        wait_until_ready(rig, first)
        events = {rig.publish() for _ in range(10)}
        rig.receiver.wait_for(2, path=path)
        tell_to_end(worker, within_s=GRACE_S, whole_group=True)
    with started(rig, second, pooled_worker(*GEVENT, name=second)):
        rig.settled(webhook, "succeeded", count=len(events))
    assert posts(rig.receiver, path) == dict.fromkeys(events, 1)


@pytest.mark.chaos
@pytest.mark.parametrize(
    "pool", [pytest.param(GEVENT, id="gevent"), pytest.param(("prefork", "-c", "2"), id="prefork")]
)
def test_a_worker_whose_database_has_ended_before_it_ends_too(tmp_path: Path, pool: tuple[str, ...]) -> None:
    """As Ctrl-C ends all of a process group. What it knows of its POSTs, and nobody can store, is not held for ever."""
    with SystemRig(tmp_path, workers=0, slow_after_s=5) as rig:
        path, _ = an_endpoint(rig)
        with started(rig, "last", pooled_worker(*pool, name="last")) as worker:
            wait_until_ready(rig, "last")
            for _ in range(10):
                rig.publish()
            rig.receiver.wait_for(2, path=path)
            for name in ("postgres", "valkey"):
                rig.kill(name)
            tell_to_end(worker, within_s=STORE_ENDING_S + GRACE_S)


@pytest.mark.chaos
def test_workers_without_work_end_within_the_time_that_up_gives_them(rig: SystemRig) -> None:
    """Three of them, each at another point of its wait for messages, with a beat that has ended, as on Ctrl-C."""
    names = [f"idle-{number}" for number in range(3)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(names)) as ends:
        rig.kill("beat")
        stack.callback(rig.restart, "beat")
        workers = [stack.enter_context(started(rig, name, pooled_worker(*GEVENT, name=name))) for name in names]
        for name in names:
            wait_until_ready(rig, name)
        until(lambda: not any(map(rig.redis.llen, QUEUES)), what="what beat brought along is taken")
        list(ends.map(partial(tell_to_end, within_s=PATIENCE_S), workers))


@pytest.mark.chaos
def test_workers_that_are_restarted_one_after_the_other_lose_and_double_nothing(rig: SystemRig) -> None:
    """A rolling restart of both under load, twice round: every event is sent, and sent once."""
    path, webhook = an_endpoint(rig)
    load = steady_publisher(rig, per_s=PER_S)
    run = {name: partial(started, rig, name, pooled_worker(*GEVENT, name=name)) for name in ("rolling-1", "rolling-2")}
    with run["rolling-1"]() as one, run["rolling-2"]() as two:
        for name in run:
            wait_until_ready(rig, name)
        with load.running():
            for times, worker in ((2, one), (2, two), (3, one), (3, two)):
                load.wait_for(10)
                tell_to_end(worker, within_s=GRACE_S)
                worker.start()
                wait_until_ready(rig, worker.name, times=times)
        sent_once(rig, webhook, path, load)


def test_a_server_that_is_told_to_end_under_load_finishes_its_calls(rig: SystemRig) -> None:
    """It ends well; what it accepted is delivered, and what it refused is accepted by the next one, under its key."""
    path, webhook = an_endpoint(rig)
    load = steady_publisher(rig, per_s=PER_S)
    server = part(rig, "server")
    with started(rig, "server-1", pooled_worker(*GEVENT, name="server-1")):
        with load.running():
            load.wait_for(20)
            tell_to_end(server, within_s=GRACE_S)
            server.start()
            load.wait_for(20)
        sent_once(rig, webhook, path, load)


@pytest.mark.chaos
def test_a_beat_that_is_told_to_end_ends_at_once_and_costs_nothing(rig: SystemRig) -> None:
    """Events go on meanwhile, and what only it brings along comes as soon as it is back."""
    path, webhook = an_endpoint(rig)
    load = steady_publisher(rig, per_s=PER_S)
    beat = part(rig, "beat")
    with started(rig, "beat-1", pooled_worker(*GEVENT, name="beat-1")):
        with load.running():
            load.wait_for(10)
            tell_to_end(beat, within_s=GRACE_S)
            load.wait_for(10)
            rig.receiver.wait_for(10, path=path)
            beat.start()
        rig.publish_many(5, webhook_workspace=webhook.workspace_id)
        rig.settled(webhook, "succeeded", count=len(load.accepted) + 5)
    assert set(posts(rig.receiver, path).values()) == {1}


def part(rig: SystemRig, name: str) -> Part:
    return next(each for each in rig.system.parts if each.name == name)
