"""What one connection may cost the server: floods, half sentences and silence end, and others are served meanwhile."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.server import transport
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.http2 import PING, PREFACE, SETTINGS, frame, head, message, raw_connection, reset, settings
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

TOO_MUCH = grpc.StatusCode.RESOURCE_EXHAUSTED
LIST = "/noteflow.v1.MeetingService/ListMeetings"
CHECK = "/grpc.health.v1.Health/Check"


def _list(world: World, *metadata: tuple[str, str]) -> pb.ListMeetingsResponse:
    return world.client.meetings.ListMeetings(pb.ListMeetingsRequest(), metadata=metadata)


def test_a_message_that_is_too_large_is_refused_with_the_limit(world: World) -> None:
    """4 MiB, and one byte more is RESOURCE_EXHAUSTED; the connection goes on."""
    with refused(TOO_MUCH, "larger than max", "4194304"):
        world.a_meeting("x" * (4 * 1024 * 1024))
    world.a_meeting()


def test_a_head_that_is_too_large_is_always_refused(world: World) -> None:
    """Not by chance: 7 KB pass each time, 8 KB never do."""
    for _ in range(6):
        _list(world, ("x-large", "y" * 7000))
        with refused(TOO_MUCH, "metadata size exceeds hard limit"):
            _list(world, ("x-large", "y" * 8000))


def test_who_pings_too_often_is_cut_off(world: World) -> None:
    """With too_many_pings; three too many are enough."""
    with raw_connection(world.address) as connection:
        connection.send(PREFACE, settings(), *(frame(PING, bytes(8)) for _ in range(10)))
        assert connection.last_words() == b"too_many_pings"
    world.a_meeting()


#: What somebody says who then says nothing more: nothing, half a preface, a preface, half a frame.
TOO_LITTLE = (b"", PREFACE[:10], PREFACE, PREFACE + settings()[:5])


def test_who_connects_and_says_too_little_is_cut_off_and_others_are_served() -> None:
    """Within the time for handshakes, which is ten seconds where a test doesn't shorten it."""
    assert dict(transport.arguments({}))["grpc.server_handshake_timeout_ms"] == 10_000
    with World(channel={"grpc.server_handshake_timeout_ms": 2000}) as world, ExitStack() as stack:
        silent = []
        for number in range(100):
            silent.append(stack.enter_context(raw_connection(world.address)))
            silent[-1].send(TOO_LITTLE[number % len(TOO_LITTLE)])
        # On a slow machine its own handshake may be cut off too, and is made again.
        world.client.meetings.CreateMeeting(pb.CreateMeetingRequest(), wait_for_ready=True, timeout=PATIENCE_S)
        for connection in silent:
            assert b"handshake timeout" in connection.last_words()


def test_who_stops_in_the_middle_of_a_call_s_head_is_cut_off() -> None:
    """As a connection without a call: a head that isn't whole is none."""
    assert dict(transport.arguments({}))["grpc.max_connection_idle_ms"] == 300_000
    with World(channel={"grpc.max_connection_idle_ms": 300}) as world, raw_connection(world.address) as connection:
        connection.send(PREFACE, settings(), frame(SETTINGS, flags=1), head(LIST, token=world.token)[:40])
        world.a_meeting()
        assert b"connection idle" in connection.last_words()


#: One call may be open, for an hour.
AN_HOUR = timedelta(hours=1)
ONE_CALL = CallerLimits(
    calls_per_workspace=1, calls_without_token=1, longest_call=AN_HOUR, longest_call_without_token=AN_HOUR
)


@pytest.mark.usefixtures("known_tokens")
@pytest.mark.parametrize(
    ("path", "sent"),
    [(LIST, b""), (CHECK, b""), (LIST, message())],
    ids=["no message", "no message and no token", "an answer never taken"],
)
def test_a_call_that_nobody_goes_on_with_is_given_up(path: str, sent: bytes) -> None:
    """Its message never comes, or its answer is never taken since the caller's window stays shut."""
    with World(limits=ONE_CALL) as world, raw_connection(world.address) as connection:
        # The token is known then, so that the calls below are looked at in their order.
        _list(world)
        connection.send(PREFACE, settings(window=0), frame(SETTINGS, flags=1), head(path, token=world.token), sent)
        connection.send(frame(PING, bytes(8)))
        assert any(each.kind == PING for each in connection.frames())
        assert not _is_free(world, path)
        world.let_pass(2 * AN_HOUR)
        eventually(lambda: _is_free(world, path))


def test_a_connection_carries_a_thousand_calls_and_the_next_ones_wait_their_turn() -> None:
    """None is lost: what is beyond the limit is sent once another has ended."""
    with World(channel={"grpc.max_concurrent_streams": 10}) as world:
        calls = [
            world.client.meetings.CreateMeeting.future(pb.CreateMeetingRequest(), timeout=PATIENCE_S)
            for _ in range(100)
        ]
        assert len({call.result(timeout=PATIENCE_S).id for call in calls}) == 100
    with World() as world, raw_connection(world.address) as connection:
        connection.send(PREFACE, settings())
        said = next(each.payload for each in connection.frames() if each.kind == SETTINGS)
        assert dict(_pairs(said))[3] == 1000


def test_the_server_takes_so_many_calls_at_once_and_refuses_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clear answer, and at once."""
    monkeypatch.setattr("noteflow_hooks.rpc.server.server.CALLS_AT_ONCE", 1)
    with World() as world:
        meeting = world.a_meeting()
        with ExitStack() as streams:
            eventually(lambda: _takes_the_only_call(world, meeting.id, streams))
            with refused(TOO_MUCH, "Concurrent RPC limit exceeded"):
                _list(world)
        eventually(lambda: not _is_refused(world))


def test_connections_leave_descriptors_for_others() -> None:
    """A connection too many is closed, the ones before it go on, and one that ends makes room."""
    given = dict(transport.arguments({}))["grpc.max_allowed_incoming_connections"]
    assert 0 < given <= transport.CALLS_AT_ONCE
    with World(channel={"grpc.max_allowed_incoming_connections": 3}) as small, ExitStack() as stack:
        small.a_meeting()
        for _ in range(2):
            stack.enter_context(raw_connection(small.address))
        with raw_connection(small.address) as too_many:
            assert list(too_many.frames()) == []
        small.a_meeting()
        stack.close()
        eventually(lambda: _answers(small))


def test_an_old_connection_is_replaced_and_no_call_notices() -> None:
    """Half an hour is the limit; a recording goes on beyond it, over the connection that it began on."""
    assert dict(transport.arguments({}))["grpc.max_connection_age_ms"] == 1_800_000
    with World(channel={"grpc.max_connection_age_ms": 200}) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream, raw_connection(world.address) as old:
            stream.send(bytes(1000))
            old.send(PREFACE, settings(), frame(SETTINGS, flags=1))
            assert b"max_age" in old.last_words()
            ends_at = time.monotonic() + 0.5
            while time.monotonic() < ends_at:
                _list(world)
            stream.send(bytes(500))
            assert stream.finish().duration_seconds == 1.5


@pytest.mark.parametrize("token", [None, "nfh_wrong"], ids=["with a token", "without one"])
def test_a_flood_of_calls_that_are_reset_at_once_holds_up_nobody(world: World, token: str | None) -> None:
    """As in CVE-2023-44487: each is begun and reset before it is answered."""
    with raw_connection(world.address) as connection:
        connection.send(PREFACE, settings(), frame(SETTINGS, flags=1))
        for stream in range(1, 6001, 2):
            connection.send(head(LIST, token=token or world.token, stream=stream), reset(stream=stream))
        world.client.meetings.CreateMeeting(pb.CreateMeetingRequest(), timeout=PATIENCE_S)
    eventually(lambda: _answers(world))


def test_strangers_can_not_take_all_the_calls_that_need_no_token() -> None:
    """Each method of such a service has its own limit: who watches in hundreds stops no health check."""
    with World(limits=CallerLimits(calls_without_token=3)) as world, grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
        for watch in watches:
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        with refused(TOO_MUCH, "at most 3 calls of this method"):
            next(stub.Watch(health_pb2.HealthCheckRequest()))
        assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        world.a_meeting()


def _is_free(world: World, path: str) -> bool:
    """Tell whether a call of that method is let in, of which only one may be open."""
    with grpc.insecure_channel(world.address) as channel:
        call: Any = channel.unary_unary(path)
        try:
            call(b"", metadata=[("authorization", f"Bearer {world.token}")], timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return bool(error.code() is not TOO_MUCH)
    return True


def _takes_the_only_call(world: World, meeting_id: str, streams: ExitStack) -> bool:
    """Tell whether a stream got in, which it does not while the server has yet to end the call before."""
    stream = streams.enter_context(a_stream(world, meeting_id))
    stream.send(bytes(1000))
    eventually(lambda: stream.call.done() or "recording.started" in world.event_types())
    return not stream.call.done()


def _is_refused(world: World) -> bool:
    try:
        _list(world)
    except grpc.RpcError:
        return True
    return False


def _answers(world: World) -> bool:
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        except grpc.RpcError:
            return False
    return True


def _pairs(said: bytes) -> Iterator[tuple[int, int]]:
    """Yield the settings' numbers and values."""
    for at in range(0, len(said), 6):
        yield int.from_bytes(said[at : at + 2]), int.from_bytes(said[at + 2 : at + 6])
