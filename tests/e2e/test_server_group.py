"""Several servers on one port, as processes: what they share, how one is replaced, and how all of them end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import psutil
import pytest

from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import SERVER
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.server_group import RunningGroup
from tests.support.system_rig import Stream, SystemRig
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wire_client import WireClient

COUNT: Final = 2
LIST: Final = pb.ListMeetingsRequest(page_size=1)
REFUSED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system"), workers=0) as running:
        yield running


@pytest.fixture(scope="module")
def group(rig: SystemRig) -> Iterator[RunningGroup]:
    """Offer two servers, whose limits no test reaches."""
    with RunningGroup(rig, count=COUNT) as running:
        yield running


def serve(rig: SystemRig, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - settings of any type
    """Run a `serve` that is to be refused."""
    return subprocess.run(
        [*SERVER, *options],
        env=variables({**rig.settings, "data_dir": rig.folder, **settings}),
        cwd=rig.folder / "run",
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def refusals(found: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what it said why not, in lines; it must have said so by its exit status too."""
    assert found.returncode == 1
    return [line for line in found.stderr.splitlines() if line.startswith("noteflow-hooks: ")]


def wait_until_replaced(group: RunningGroup, killed: int) -> None:
    """Wait until calls reach as many servers as before, and not that one."""

    def is_replaced() -> bool:
        return killed not in group.servers() and len(group.servers()) == group.count

    until(is_replaced, what="the dead server is replaced")


def test_all_answer_on_one_port(group: RunningGroup) -> None:
    """Connections are spread over them by the kernel, and each is a process of its own."""
    clients = group.connect_to_each()
    assert set(clients) == set(group.servers())
    for client in clients.values():
        client.meetings.ListMeetings(LIST)
        client.close()


def test_a_killed_server_is_back_and_the_calls_go_on(group: RunningGroup) -> None:
    """The others answer meanwhile; the log says which one it was."""
    clients = group.connect_to_each()
    killed = group.servers()[1]
    os.kill(killed, signal.SIGKILL)
    for pid, client in clients.items():
        if pid != killed:
            client.meetings.ListMeetings(LIST)
    wait_until_replaced(group, killed)
    for client in group.connect_to_each().values():
        client.meetings.ListMeetings(LIST)
        client.close()
    # Its own client connects again by itself.
    until(lambda: _answers(clients[killed]), what="the killed server's client is answered")
    for client in clients.values():
        client.close()
    assert f"(pid {killed}) was ended by signal 9" in group.log.read_text()


def test_a_restarted_server_ends_what_its_dead_predecessor_recorded_and_nothing_else(
    rig: SystemRig, group: RunningGroup
) -> None:
    """At once, since it has its name; a recording of a living server goes on."""
    clients = group.connect_to_each(2)
    (killed, recording), (_, other) = clients.items()
    meetings = [rig.meeting(), rig.meeting()]
    streams = [Stream(client, meeting) for client, meeting in zip((recording, other), meetings, strict=True)]
    until(lambda: [_open(rig, each) for each in meetings] == [1, 1], what="both are recorded")
    os.kill(killed, signal.SIGKILL)
    until(lambda: _open(rig, meetings[0]) == 0, what="the dead server's recording is ended", timeout_s=PATIENCE_S)
    assert _open(rig, meetings[1]) == 1
    for each in streams:
        each.end()
    for client in clients.values():
        client.close()
    wait_until_replaced(group, killed)


def test_a_meeting_is_stopped_on_another_server_than_its_stream_s(rig: SystemRig, group: RunningGroup) -> None:
    """With all the audio that had arrived, and no heartbeat has passed; the stream's client hears why it ended."""
    clients = list(group.connect_to_each(2).values())
    meeting = rig.meeting()
    stream = Stream(clients[0], meeting)
    until(lambda: _open(rig, meeting) == 1, what="it is recorded")
    stopped = clients[1].meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting))
    assert (stopped.state, stopped.duration_seconds) == ("completed", 1.0)
    with pytest.raises(grpc.RpcError) as ended:
        stream.call.result(timeout=PATIENCE_S)
    assert ended.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stream.end()
    for client in clients:
        client.close()


@pytest.mark.chaos
def test_limits_are_of_all_servers_together(rig: SystemRig) -> None:
    """One stream of a workspace is one over all; calls are granted as one bucket has them, whoever takes of it.

    Told to end, the group leaves no process: its streams are told, their recordings ended, and its status is 0.
    """
    rate = 25
    with RunningGroup(rig, count=COUNT, token_calls_per_s=rate, streams_per_workspace=1) as group:
        _check_streams(rig, list(group.connect_to_each().values()))
        clients = list(group.connect_to_each(token=rig.new_workspace()).values())
        began = time.monotonic()
        with ThreadPoolExecutor(8 * COUNT) as callers:
            calls = list(callers.map(_timed, clients * (8 * rate // COUNT)))
        took_s = time.monotonic() - began
        for client in clients:
            client.close()
        _end(rig, group, signal.SIGTERM)
    granted = sum(each.granted for each in calls)
    first_s = min(each.answered_at for each in calls if each.granted)
    last_refused_s = max(each.made_at for each in calls if not each.granted)
    # When that one was refused not one whole call was left of the burst and what had come since the first call.
    assert 2 * rate + (last_refused_s - first_s) * rate - 1 <= granted <= 2 * rate + took_s * rate + 1


def _check_streams(rig: SystemRig, clients: list[WireClient]) -> None:
    streams = [Stream(client, rig.meeting()) for client in clients]
    until(lambda: sum(each.call.done() for each in streams) == len(clients) - 1, what="all but one are refused")
    assert {each.call.code() for each in streams if each.call.done()} == {REFUSED}
    for each in streams:
        each.end()
    for client in clients:
        client.close()


def test_a_second_server_on_a_group_s_port_is_refused(rig: SystemRig, group: RunningGroup) -> None:
    """One process or several, with one clear line; also on the port of one that has none beside it."""
    for options in ([], ["--processes", "2"]):
        (line,) = refusals(serve(rig, *options, grpc_bind=group.address))
        assert f"can't listen on {group.address}; it is in use" in line
    (line,) = refusals(serve(rig, "--processes", "2"))
    assert f"can't listen on {rig.system.grpc}; it is in use" in line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"grpc_bind": "unix:/tmp/a.sock"}, "one process at a time"),
        ({"grpc_bind": "0.0.0.0:0"}, "others than this machine may reach"),
        ({"token_calls_per_s": -1}, "TOKEN_CALLS_PER_S"),
        ({"grpc_tls_cert": "/none.pem", "grpc_tls_key": "/none.pem", "grpc_bind": "127.0.0.1:0"}, "/none.pem"),
    ],
)
def test_a_bad_setting_is_one_line_and_not_one_of_each(rig: SystemRig, wrong: dict[str, Any], said: str) -> None:
    """Whoever finds it; nothing is started again and again."""
    (line,) = refusals(serve(rig, "--processes", "2", **wrong))
    assert said in line


def test_a_killed_supervisor_leaves_no_server(rig: SystemRig, group: RunningGroup) -> None:
    """They end in good order; then the port is free for the next group. The last test of this one."""
    servers, meeting = group.servers(), rig.meeting()
    client, _ = group.connect()
    stream = Stream(client, meeting)
    until(lambda: _open(rig, meeting) == 1, what="it is recorded")
    group.supervisor.kill()
    group.wait_until_gone(servers)
    assert _open(rig, meeting) == 0
    stream.end()
    client.close()
    with RunningGroup(rig, count=2, grpc_bind=group.address) as again:
        assert again.address == group.address
        _end(rig, again, signal.SIGINT)


def _end(rig: SystemRig, group: RunningGroup, number: signal.Signals) -> None:
    servers, meeting = group.servers(), rig.meeting()
    client, _ = group.connect()
    stream = Stream(client, meeting)
    until(lambda: _open(rig, meeting) == 1, what="it is recorded")
    group.supervisor.send_signal(number)
    assert group.supervisor.wait(PATIENCE_S) == 0
    assert not any(psutil.pid_exists(pid) for pid in servers)
    assert _open(rig, meeting) == 0
    stream.end()
    client.close()
    assert "Traceback" not in group.log.read_text()


class _Call(NamedTuple):
    granted: bool
    made_at: float
    answered_at: float


def _timed(client: WireClient) -> _Call:
    made_at = time.monotonic()
    return _Call(_answers(client), made_at, time.monotonic())


def _answers(client: WireClient) -> bool:
    with suppress(grpc.RpcError):
        client.meetings.ListMeetings(LIST)
        return True
    return False


def _open(rig: SystemRig, meeting: str) -> int:
    statement = "SELECT count(*) FROM noteflow.recordings WHERE meeting_id = %s AND ended_at IS NULL"
    [(count,)] = rig.database.execute(statement, [meeting]).fetchall()
    return int(count)
