"""What is pulled out from under a running system, and what must be true after it. Nobody lends the system a hand."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.receiver_connection import Answer
from tests.support.system_rig import QUICK, SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a client allows a meeting's call, whatever happens to Redis.
DEADLINE_S = 2.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system"), workers=2) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


def stop_some_meetings(rig: SystemRig, count: int) -> None:
    """Hold meetings to their end, each call within the client's deadline."""
    for _ in range(count):
        rig.stop_meeting(rig.meeting(), within_s=DEADLINE_S)


def test_a_dead_redis_fails_no_meeting_and_loses_no_event(rig: SystemRig) -> None:
    """Killed, and back empty: what was committed meanwhile is delivered, each event once."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.kill("valkey")
    stop_some_meetings(rig, 10)
    rig.restart("valkey")
    rig.settled(webhook, "succeeded", count=10)
    assert len(rig.receiver.wait_for(10, path=path)) == 10


@pytest.mark.chaos
def test_a_frozen_redis_fails_no_meeting_and_loses_no_event(rig: SystemRig) -> None:
    """Stopped in its tracks: connections hang, the calls don't."""
    path = a_path()
    webhook = rig.webhook(path)
    with rig.frozen("valkey"):
        stop_some_meetings(rig, 10)
    rig.settled(webhook, "succeeded", count=10)
    assert len(rig.receiver.wait_for(10, path=path)) == 10


def test_a_redis_that_refuses_writes_fails_no_meeting_and_loses_no_event(rig: SystemRig) -> None:
    """Neither the announcements nor the retries of failed deliveries are lost."""
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(500), Answer(200))
    webhook = rig.webhook(path)
    rig.redis.execute_command("ACL", "SETUSER", "default", "-lpush")
    try:
        stop_some_meetings(rig, 5)
    finally:
        rig.redis.execute_command("ACL", "SETUSER", "default", "+lpush")
    rig.settled(webhook, "succeeded", count=5)


@pytest.mark.parametrize("count", [1500, pytest.param(5000, marks=pytest.mark.chaos)])
def test_many_events_committed_while_redis_is_away_need_few_messages(rig: SystemRig, count: int) -> None:
    """Fewer than one for five bring them all to success: relay sends chunks, and slots wake tasks sparingly."""
    webhook = rig.webhook(a_path())
    with rig.frozen("valkey"):
        rig.publish_many(count, webhook_workspace=webhook.workspace_id)
    before = rig.messages()
    rig.settled(webhook, "succeeded", count=count, timeout_s=120)
    assert rig.messages() - before < count / 5


def test_a_frozen_postgres_is_unavailable_at_once_and_well_after(rig: SystemRig) -> None:
    """Each of many calls fails with UNAVAILABLE within two seconds; then the system goes on by itself."""
    path = a_path()
    webhook = rig.webhook(path)
    meeting = rig.meeting()
    with rig.frozen("postgres"):
        for _ in range(4):
            with pytest.raises(grpc.RpcError) as refused:
                rig.stop_meeting(meeting, within_s=DEADLINE_S)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    until(lambda: _stops(rig, meeting), what="the server answers again")
    rig.settled(webhook, "succeeded")
    assert len(rig.receiver.wait_for(1, path=path)) == 1


def test_a_restarted_postgres_costs_no_delivery(rig: SystemRig) -> None:
    """POSTs under way while it restarts are recorded afterwards, and sent once."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=30_000)
    rig.receiver.hold()
    for _ in range(5):
        rig.publish()
    rig.receiver.wait_for(5, path=path)
    rig.disconnect()
    rig.kill("postgres")
    rig.receiver.release()
    rig.restart("postgres")
    rig.settled(webhook, "succeeded", count=5)
    assert len(rig.receiver.wait_for(5, path=path)) == 5
    assert {each.attempt_count for each in rig.deliveries(webhook)} == {1}


@pytest.mark.chaos
def test_a_postgres_that_is_away_for_longer_than_leases_costs_no_duplicate(rig: SystemRig) -> None:
    """What was answered meanwhile is recorded once it is back; nobody takes it from its worker before that."""
    path = a_path()
    webhook = rig.webhook(path, timeout_ms=6000)
    rig.receiver.hold()
    for _ in range(5):
        rig.publish()
    rig.receiver.wait_for(5, path=path)
    leases_end = time.monotonic() + 6 + QUICK["lease_slack_s"]
    rig.disconnect()
    rig.kill("postgres")
    rig.receiver.release()
    until(lambda: time.monotonic() > leases_end + 1, what="the leases are over")
    rig.restart("postgres")
    rig.settled(webhook, "succeeded", count=5)
    assert len(rig.receiver.wait_for(5, path=path)) == 5
    assert {each.attempt_count for each in rig.deliveries(webhook)} == {1}


def test_a_worker_killed_in_mid_post_hands_over_after_its_lease(rig: SystemRig) -> None:
    """Another one makes the delivery, with the interrupted attempt on record; nothing else is sent twice."""
    path, quiet = a_path(), a_path()
    webhook, other = rig.webhook(path, timeout_ms=4000), rig.webhook(quiet, events=["recording.started"])
    settled_before = rig.webhook(quiet)
    rig.publish()
    rig.settled(settled_before, "succeeded")
    rig.receiver.hold()
    rig.publish()
    rig.receiver.wait_for(2, path=path)
    rig.kill("worker-1")
    rig.kill("worker-2")
    rig.receiver.release()
    rig.restart("worker-1")
    rig.settled(webhook, "succeeded", count=2)
    first, second = rig.deliveries(webhook)
    assert [each.error_kind for each in first.attempts] == ["interrupted", ""]
    assert first.attempts[0].error_message.startswith("Interrupted")
    assert [each.error_kind for each in second.attempts] == [""]
    assert len(rig.receiver.wait_for(3, path=path)) == 3
    assert rig.deliveries(other) == []
    rig.restart("worker-2")


def test_a_worker_told_to_stop_finishes_what_is_under_way(rig: SystemRig) -> None:
    """SIGTERM in mid-POST: the answer still comes in and is recorded; nothing is sent twice."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.receiver.hold()
    rig.publish()
    rig.receiver.wait_for(1, path=path)
    for name in ("worker-1", "worker-2"):
        subprocess.run(["kill", "-TERM", str(rig.pid(name))], check=True)  # noqa: S607 - the system's own kill
    rig.receiver.release()
    until(lambda: not {"worker-1", "worker-2"} & set(rig.system.processes), what="the workers end")
    [delivery] = rig.deliveries(webhook)
    assert (delivery.status, delivery.attempt_count) == ("succeeded", 1)
    for name in ("worker-1", "worker-2"):
        rig.restart(name)
    rig.publish()
    rig.settled(webhook, "succeeded", count=2)
    assert len(rig.receiver.wait_for(2, path=path)) == 2


def test_a_dead_beat_holds_up_nothing_new(rig: SystemRig) -> None:
    """Relay and sweep are for what got lost; what doesn't needs neither."""
    webhook = rig.webhook(a_path())
    rig.kill("beat")
    rig.publish()
    rig.settled(webhook, "succeeded")
    rig.restart("beat")


@pytest.mark.chaos
def test_a_killed_server_loses_no_event_that_it_committed(rig: SystemRig) -> None:
    """Killed before it could tell anybody: the relay finds the event, and a restarted server serves on."""
    path = a_path()
    webhook = rig.webhook(path)
    meeting = rig.meeting()
    with rig.frozen("valkey"):
        rig.stop_meeting(meeting, within_s=DEADLINE_S)
        rig.kill("server")
    rig.restart("server")
    until(lambda: _stops(rig, meeting), what="the server serves again")
    rig.settled(webhook, "succeeded")
    assert len(rig.receiver.wait_for(1, path=path)) == 1


def test_a_recording_of_a_killed_server_is_ended_by_the_next_one(rig: SystemRig) -> None:
    """Its ``recording.stopped`` is delivered, once."""
    path = a_path()
    webhook = rig.webhook(path, events=["recording.started", "recording.stopped"])
    meeting = rig.meeting()
    stream = rig.open_stream(meeting)
    rig.receiver.wait_for(1, path=path)
    rig.kill("server")
    stream.end()
    rig.restart("server")
    rig.settled(webhook, "succeeded", count=2)
    assert [each.event_type for each in reversed(rig.deliveries(webhook))] == ["recording.started", "recording.stopped"]


def test_a_client_that_vanishes_in_mid_stream_ends_its_recording(rig: SystemRig) -> None:
    """Both events come, each once, and the meeting can be recorded again."""
    path = a_path()
    webhook = rig.webhook(path, events=["recording.started", "recording.stopped"])
    meeting = rig.meeting()
    for count in (2, 4):
        stream = rig.open_stream(meeting)
        rig.receiver.wait_for(count - 1, path=path)
        stream.end()
        rig.settled(webhook, "succeeded", count=count)
    kinds = [request.header("X-NoteFlow-Event") for request in rig.receiver.wait_for(4, path=path)]
    assert sorted(map(str, kinds)) == ["recording.started"] * 2 + ["recording.stopped"] * 2


def test_with_the_feature_flag_off_meetings_work_and_no_event_is_stored(rig: SystemRig) -> None:
    """A server of its own, beside the other; its webhook calls name the setting."""
    webhook, address = rig.webhook(a_path()), free_address()
    settings = {**rig.settings, "grpc_bind": address, "webhooks_enabled": False, "data_dir": rig.folder}
    command = [sys.executable, "-m", "noteflow_hooks.cli", "serve"]
    server = subprocess.Popen(command, env=variables(settings), cwd=rig.folder, stderr=subprocess.DEVNULL)
    try:
        with WireClient(address, rig.token) as client:
            create = pb.CreateMeetingRequest(title="Quiet")
            meeting = client.meetings.CreateMeeting(create, timeout=PATIENCE_S, wait_for_ready=True)
            stopped = client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting.id))
            assert stopped.state == "completed"
            with pytest.raises(grpc.RpcError) as refused:
                client.webhooks.ListWebhooks(pb.ListWebhooksRequest())
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "NOTEFLOW_HOOKS_WEBHOOKS_ENABLED" in (refused.value.details() or "")
        assert not rig.client.events.ListEvents(pb.ListEventsRequest()).events
        assert rig.deliveries(webhook) == []
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=PATIENCE_S) == 0


def test_a_plain_worker_delivers_under_any_pool(rig: SystemRig) -> None:
    """``celery -A workers.app worker`` with nothing but the pool named, also over TLS and with a failure to retry."""
    for name in ("worker-1", "worker-2"):
        rig.kill(name)
    try:
        for pool in ("prefork", "gevent", "solo"):
            _deliver_under(rig, pool)
    finally:
        for name in ("worker-1", "worker-2"):
            rig.restart(name)


def _deliver_under(rig: SystemRig, pool: str) -> None:
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(200))
    webhook = rig.webhook(path)
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-P", pool, "-n", f"{pool}@%h"]
    with (rig.folder / f"{pool}.log").open("w") as log:
        worker = subprocess.Popen(command, env=variables(rig.settings), cwd=rig.folder, stdout=log, stderr=log)
        try:
            for _ in range(20):
                rig.publish()
            rig.settled(webhook, "succeeded", count=20)
        finally:
            worker.send_signal(signal.SIGTERM)
            # A POST that an earlier test left to it may take 30 s, and is finished first.
            worker.wait(timeout=60)
    assert len(rig.receiver.wait_for(21, path=path)) == 21
    rig.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook.id))


def _stops(rig: SystemRig, meeting_id: str) -> bool:
    try:
        return rig.stop_meeting(meeting_id).state == "completed"
    except grpc.RpcError:
        return False
