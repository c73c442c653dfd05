"""The server itself: who may call, what it answers when something is off, broken or frozen, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Never, Self
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.errors import NoteFlowHooksError, NotFoundError, SettingsError, UnavailableError
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.client import Client, connect
from noteflow_hooks.rpc.interceptors import auth
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.database import DEADLINE
from noteflow_hooks.rpc.server.serve import serve
from noteflow_hooks.rpc.server.server import HooksServer, ServerOptions
from noteflow_hooks.rpc.streaming import streams
from tests.integration.rpc.world import LOOPBACK, World, a_stream, eventually, refused
from tests.support.builders import a_recording
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

NO_TOKEN = grpc.StatusCode.UNAUTHENTICATED
AWAY = grpc.StatusCode.UNAVAILABLE
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SETTING = "NOTEFLOW_HOOKS_WEBHOOKS_ENABLED"


class Gate:
    """A door in front of the store.

    While it is shut every unit of work hangs in it, as in a frozen PostgreSQL; while it is locked they fail.
    """

    def __init__(self) -> None:
        self.door = threading.Event()
        self.door.set()
        self.locked = False
        self.entered = 0

    def units(self, store: MemoryStore) -> Callable[[], UnitOfWork]:
        """Return the units of work behind this door."""
        gate = self

        class Gated(InMemoryUnitOfWork):
            def __enter__(self) -> Self:
                gate.entered += 1
                gate.door.wait()
                if gate.locked:
                    raise UnavailableError
                super().__enter__()
                return self

        return lambda: Gated(store)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Offer a door that is open, and open again at the end."""
    made = Gate()
    yield made
    made.door.set()


def _call(world: World, method: str, *metadata: tuple[str, str], data: bytes = b"") -> bytes:
    """Call any method with any bytes."""
    with grpc.insecure_channel(world.address) as channel:
        call: Any = channel.unary_unary(method)
        answer: bytes = call(data, metadata=metadata, timeout=PATIENCE_S)
        return answer


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer nfh_wrong")],
        [("authorization", "Basic {token}")],
        [("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")],
    ],
    ids=["none", "empty", "no token", "wrong", "not bearer", "two"],
)
def test_without_a_good_token_nothing_is_answered(world: World, metadata: list[tuple[str, str]]) -> None:
    """Unary, streaming and unknown methods alike, with one clear line."""
    sent = [(name, value.replace("{token}", world.token)) for name, value in metadata]
    for method in ("MeetingService/ListMeetings", "MeetingService/StreamAudioSegments", "No/Such"):
        with refused(NO_TOKEN, "authorization: Bearer <token>"):
            _call(world, f"/noteflow.v1.{method}", *sent)


def test_a_stream_without_a_token_is_refused_before_its_first_message(world: World) -> None:
    """It is not kept waiting."""
    world.client = Client(world.address, "nfh_wrong")
    with a_stream(world, "") as stream, refused(NO_TOKEN):
        stream.call.result(timeout=PATIENCE_S)


def test_an_unknown_method_is_said_to_be_unknown_to_who_may_call(world: World) -> None:
    """With a good token."""
    with refused(grpc.StatusCode.UNIMPLEMENTED):
        _call(world, "/noteflow.v1.MeetingService/No", ("authorization", f"bearer {world.token}"))


def test_a_revoked_token_is_refused_once_its_time_is_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token counts for three seconds after it was looked up, and no longer."""
    monkeypatch.setattr(auth, "TOKEN_TTL_S", 0.05)
    world.a_meeting()
    with world.units() as unit:
        found = unit.access.find_token(hash_token(world.token))
        assert found is not None
        unit.access.revoke_token(found.id)
        unit.commit()

    def is_refused() -> bool:
        try:
            world.a_meeting()
        except grpc.RpcError as error:
            return bool(error.code() is NO_TOKEN)
        return False

    eventually(is_refused)


@pytest.mark.parametrize(
    "method",
    ["MeetingService/CreateMeeting", "WebhookService/RegisterWebhook", "EventService/PublishEvent"],
)
def test_bytes_that_are_no_message_are_the_caller_s_mistake(world: World, method: str) -> None:
    """Neither UNKNOWN nor INTERNAL; text that isn't UTF-8 is one of them."""
    token = ("authorization", f"Bearer {world.token}")
    for data in (b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7f"):
        with refused(INVALID, "request: "):
            _call(world, f"/noteflow.v1.{method}", token, data=data)


def test_a_stream_of_bytes_that_are_no_message_is_the_caller_s_mistake(world: World) -> None:
    """As in a unary call."""
    with grpc.insecure_channel(world.address) as channel, refused(INVALID, "request: "):
        call: Any = channel.stream_unary("/noteflow.v1.MeetingService/StreamAudioSegments")
        call(iter([b"\xff\xff"]), metadata=[("authorization", f"Bearer {world.token}")], timeout=PATIENCE_S)


def test_health_needs_no_token(world: World) -> None:
    """The whole server and each service are SERVING, until the server stops."""
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "noteflow.v1.MeetingService", "noteflow.v1.WebhookService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_watcher_hears_that_the_server_stops(world: World) -> None:
    """NOT_SERVING comes before the connection ends."""
    with grpc.insecure_channel(world.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        # The watch itself is a call that only its end ends.
        world.stop(grace_s=2)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_is_there_only_where_it_is_switched_on(world: World) -> None:
    """And then it needs no token."""
    with World(reflection=True) as open_world, grpc.insecure_channel(open_world.address) as channel:
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert {"noteflow.v1.EventService", "grpc.health.v1.Health"} <= set(services)
    with grpc.insecure_channel(world.address) as channel, refused(NO_TOKEN):
        ProtoReflectionDescriptorDatabase(channel).get_services()


def test_with_webhooks_off_meetings_work_and_record_nothing() -> None:
    """The other services name the setting."""
    with World(webhooks=False) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000), "One.")
            assert stream.finish().duration_seconds == 1.0
        world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id))
        assert world.stop_meeting(meeting.id).has_summary
        assert world.event_types() == []
        for call in _calls_about_webhooks(world.client):
            with refused(grpc.StatusCode.FAILED_PRECONDITION, SETTING):
                call()


def test_a_store_without_webhooks_is_as_good_as_none() -> None:
    """The unit of work says what it supports."""

    class Bare(InMemoryUnitOfWork):
        supports_webhooks = False

    with World(units=lambda store: lambda: Bare(store)) as world:
        for call in _calls_about_webhooks(world.client)[1:]:
            with refused(grpc.StatusCode.FAILED_PRECONDITION, SETTING):
                call()


def test_a_frozen_database_is_unavailable_within_two_seconds_and_then_at_once(gate: Gate) -> None:
    """And all is well again when it thaws."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        world.a_meeting()
        gate.door.clear()
        calls = [world.client.meetings.CreateMeeting.future(pb.CreateMeetingRequest(title="lost")) for _ in range(20)]
        with Stopwatch() as watch:
            for call in calls:
                with refused(AWAY, "the database does not answer"):
                    call.result()
        assert watch.seconds < 2.0
        with Stopwatch() as watch, refused(AWAY):
            world.a_meeting()
        assert watch.seconds < 0.5
        gate.door.set()
        eventually(lambda: _works(world))
        titles = [each.title for each in world.client.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings]
        assert "lost" not in titles


def test_work_whose_caller_gave_up_is_never_begun(gate: Gate) -> None:
    """Twenty calls on four threads: the sixteen that waited are dropped."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        world.a_meeting()
        gate.door.clear()
        entered = gate.entered
        calls = [world.client.meetings.CreateMeeting.future(pb.CreateMeetingRequest()) for _ in range(20)]
        for call in calls:
            with refused(AWAY):
                call.result()
        gate.door.set()
        eventually(lambda: _works(world))
        assert gate.entered < entered + 20


@pytest.mark.usefixtures("known_tokens")
def test_a_recording_whose_client_left_while_the_store_hung_is_ended(gate: Gate) -> None:
    """Its beginning is the server's task, so its end is known to be needed."""
    with World(units=gate.units) as world:
        meeting = world.a_meeting()
        gate.door.clear()
        entered = gate.entered
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: gate.entered > entered)
        gate.door.set()
        eventually(lambda: world.event_types() == ["recording.started", "recording.stopped"])
        assert world.payload("recording.stopped")["duration_seconds"] == 1.0


def test_a_recording_that_ends_while_the_database_is_away_is_ended_when_it_is_back(gate: Gate) -> None:
    """The caller hears UNAVAILABLE in time; the server goes on trying."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            gate.door.clear()
            with Stopwatch() as watch, refused(AWAY, "could not be stored yet"):
                stream.finish()
            assert watch.seconds < 2.0
        gate.door.set()
        eventually(lambda: world.event_types() == ["recording.started", "recording.stopped"])


def test_a_token_that_can_not_be_looked_up_is_not_called_bad(gate: Gate) -> None:
    """UNAVAILABLE: the caller may be right."""
    with World(units=gate.units) as world:
        gate.locked = True
        with refused(AWAY):
            world.a_meeting()


def test_segments_wait_for_a_database_that_is_away(gate: Gate) -> None:
    """The stream goes on, and they are stored when it is back."""
    with World(units=gate.units) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            entered, gate.locked = gate.entered, True
            stream.send(bytes(1000), "One.")
            eventually(lambda: gate.entered > entered + 2)
            gate.locked = False
            assert stream.finish().segment_count == 1


def test_a_server_that_starts_without_its_database_sweeps_once_it_is_back(gate: Gate) -> None:
    """What a dead server left open is then ended after all."""
    with World() as dead:
        meeting = dead.a_meeting()
    with dead.units() as unit:
        silent = datetime.now(UTC) - timedelta(minutes=1)
        ids = {"meeting_id": UUID(meeting.id), "workspace_id": dead.workspace_id}
        unit.meetings.start_recording(a_recording(seen_at=silent, **ids))
        unit.commit()
    gate.locked = True
    often: dict[str, Any] = {"heartbeat_every": timedelta(seconds=0.05), "silent_for": timedelta(seconds=0.2)}
    with World(store=dead.store, units=gate.units, **often):
        entered = gate.entered
        eventually(lambda: gate.entered > entered)
        assert dead.event_types() == []
        gate.locked = False
        eventually(lambda: dead.event_types() == ["recording.stopped"])


def test_a_test_s_wait_ends_when_the_database_goes_away(gate: Gate) -> None:
    """The test is recorded, so the answer says so: to fail would invite a second one."""
    with World(units=gate.units) as world:
        webhook = world.a_webhook()
        request = pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=60)
        call = world.client.webhooks.TestWebhook.future(request, timeout=100)
        eventually(lambda: bool(world.announced))
        gate.locked = True
        assert call.result(timeout=45).event_id == str(world.announced[0])


def test_a_recording_that_can_not_be_ended_is_an_error_of_our_own(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, and left to the sweep."""
    monkeypatch.setattr(streams, "finish_stream", lambda *_, **__: 1 // 0)
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream, refused(grpc.StatusCode.INTERNAL):
        stream.send(bytes(1000))
        stream.finish()
    assert "could not be ended" in caplog.text


def test_a_server_stops_in_time_though_the_database_hangs(gate: Gate) -> None:
    """What it could not store is ended by the next server."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            gate.door.clear()
            with Stopwatch() as watch:
                world.stop(grace_s=2)
            assert watch.seconds < 6


def test_an_error_of_our_own_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """INTERNAL with a fixed line; the traceback is in the log."""

    class Broken(InMemoryUnitOfWork):
        @property
        def webhooks(self) -> Never:
            raise ValueError("a secret of the house")

    with (
        World(units=lambda store: lambda: Broken(store)) as world,
        refused(grpc.StatusCode.INTERNAL, "internal error; the server's log says more"),
    ):
        world.a_webhook()
    assert "a secret of the house" in caplog.text


def test_an_address_in_use_is_one_clear_line(world: World) -> None:
    """It names the address; two servers never share a port."""
    with pytest.raises(SettingsError, match=re.escape(world.address)):
        World(bind=world.address).__enter__()


def test_the_client_turns_answers_into_errors_of_ours(world: World) -> None:
    """One clear line each."""
    with pytest.raises(NotFoundError, match="meeting_id"), connect(world.address, world.token) as client:
        client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=str(UUID(int=0))))
    with pytest.raises(NoteFlowHooksError, match="a valid token"), connect(world.address, "no") as client:
        client.meetings.ListMeetings(pb.ListMeetingsRequest())
    with (
        pytest.raises(UnavailableError, match=r"no server answers at 127\.0\.0\.1:1"),
        connect("127.0.0.1:1", "no") as client,
    ):
        client.meetings.ListMeetings(pb.ListMeetingsRequest())


def test_a_server_in_the_foreground_ends_with_sigterm() -> None:
    """It says when it is ready, and returns."""
    store = MemoryStore()
    server = HooksServer(lambda: InMemoryUnitOfWork(store), None, ServerOptions(bind=LOOPBACK))
    addresses: list[str] = []

    def ready(address: str) -> None:
        addresses.append(address)
        os.kill(os.getpid(), signal.SIGTERM)

    serve(server, ready=ready)
    assert addresses[0].startswith("127.0.0.1:")


def _works(world: World) -> bool:
    try:
        world.a_meeting()
    except grpc.RpcError:
        return False
    return True


def _calls_about_webhooks(client: Client) -> list[Callable[[], object]]:
    """Return one valid call of each RPC of the two services."""
    some_id = str(UUID(int=0))
    hooks, events = client.webhooks, client.events
    mask = FieldMask(paths=["enabled"])
    payload = '{"meeting_id": "m", "title": "t"}'
    return [
        lambda: hooks.RegisterWebhook(pb.RegisterWebhookRequest(url="https://a.example/")),
        lambda: hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=some_id)),
        lambda: hooks.ListWebhooks(pb.ListWebhooksRequest()),
        lambda: hooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=some_id, update_mask=mask)),
        lambda: hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=some_id)),
        lambda: hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=some_id)),
        lambda: hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=some_id)),
        lambda: hooks.ListDeliveries(pb.ListDeliveriesRequest()),
        lambda: hooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=some_id)),
        lambda: hooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=some_id)),
        lambda: events.PublishEvent(pb.PublishEventRequest(event_type="recording.started", payload_json=payload)),
        lambda: events.ListEvents(pb.ListEventsRequest()),
    ]
