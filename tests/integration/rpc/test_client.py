"""The client against a real server: what a call raises, where it does, and how long a call may take."""

from __future__ import annotations

import socket
from datetime import timedelta
from queue import Queue
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

import grpc
import pytest

from noteflow_hooks.client import connect
from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    RateLimitError,
    Reason,
    ScopeError,
    UnauthenticatedError,
    UnavailableError,
)
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import FORMAT, World
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.client import Client

E = TypeVar("E", bound=NoteFlowHooksError)
PATIENCE: Final = timedelta(seconds=PATIENCE_S)
NOTHING: Final = pb.ListMeetingsRequest()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One server for all of these."""
    with World() as world:
        yield world


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    """A client of it."""
    with connect(world.address, world.token, timeout=PATIENCE) as client:
        yield client


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """Return what the call itself raises, of exactly that kind; gRPC's own error is its cause."""
    with pytest.raises(NoteFlowHooksError) as caught:
        call()
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    return caught.value


def test_an_error_is_raised_at_the_call_that_failed(client: Client) -> None:
    """So a program goes on in the same block, over the same connection."""
    lost = pb.GetMeetingRequest(meeting_id=str(uuid4()))
    assert "meeting_id" in str(raised(NotFoundError, lambda: client.meetings.GetMeeting(lost)))
    made = client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Weekly"))
    assert client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=made.id)).title == "Weekly"


def test_the_block_lets_every_error_through_as_it_is(world: World) -> None:
    """Also gRPC's own, of a connection that is not ours."""
    error = grpc.RpcError("of another connection")
    with pytest.raises(grpc.RpcError) as caught, connect(world.address, world.token):
        raise error
    assert caught.value is error


def test_each_answer_has_its_kind(world: World, client: Client) -> None:
    """By what a program does about it."""
    raised(AlreadyExistsError, lambda: [publish(client, title=title, key="k-1") for title in ("a", "b")])
    stopped = client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Weekly"))
    client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=stopped.id))
    chunks = [pb.StreamAudioSegmentsRequest(meeting_id=stopped.id, format=FORMAT)]
    raised(PreconditionError, lambda: client.meetings.StreamAudioSegments(iter(chunks)))
    silent = pb.GenerateSummaryRequest(meeting_id=stopped.id)
    error = raised(PreconditionError, lambda: client.meetings.GenerateSummary(silent))
    assert error.reason is Reason.NO_TRANSCRIPT
    with connect(world.address, "nfh_none") as stranger:
        unknown = raised(UnauthenticatedError, lambda: stranger.meetings.ListMeetings(NOTHING))
    assert str(unknown) == f"{world.address}: a valid token is needed"
    with connect(world.address, world.another_token(scopes=frozenset({"read"}))[0]) as reader:
        assert "publish" in str(raised(ScopeError, lambda: publish(reader)))


def test_all_that_is_wrong_with_a_request_is_told(client: Client) -> None:
    """As fields and their problems, of which the line has every one."""
    request = pb.PublishEventRequest(event_type="recording.started", payload_json="{}")
    error = raised(InvalidInputError, lambda: client.events.PublishEvent(request))
    assert len(error.violations) == 2
    assert all(f"{field}: {problem}" in str(error) for field, problem in error.violations)


def test_a_limit_says_when_to_try_again() -> None:
    """Here the second registration in a minute."""
    limits = CallerLimits(registrations_per_minute=1, token_calls_per_s=0)
    with World(limits=limits) as world, connect(world.address, world.token) as client:
        request = pb.RegisterWebhookRequest(url="https://receiver.example/", events=["meeting.completed"])
        client.webhooks.RegisterWebhook(request)
        error = raised(RateLimitError, lambda: client.webhooks.RegisterWebhook(request))
    assert error.retry_after is not None
    assert timedelta() < error.retry_after <= timedelta(minutes=1)


def test_a_future_raises_the_same_errors(client: Client) -> None:
    """From its result and as its exception; whoever waits for it is given it, and no one else's."""
    call = client.meetings.GetMeeting.future(pb.GetMeetingRequest(meeting_id=str(uuid4())))
    told: Queue[object] = Queue()
    call.add_done_callback(told.put)
    raised(NotFoundError, lambda: call.result(PATIENCE_S))
    assert isinstance(call.exception(), NotFoundError)
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert told.get(timeout=PATIENCE_S) is call
    good = client.meetings.ListMeetings.future(NOTHING)
    assert good.result(PATIENCE_S) == client.meetings.ListMeetings(NOTHING)
    assert good.exception() is None


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """It names the address, and no option."""
    with connect("127.0.0.1:1", "t", attempts=1) as client:
        error = raised(UnavailableError, lambda: client.meetings.ListMeetings(NOTHING, timeout=PATIENCE_S))
    assert str(error) == "no server answers at 127.0.0.1:1"


def test_a_call_takes_no_longer_than_the_timeout_allows() -> None:
    """The client's own, or the call's in its place; this server takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        late = f"{address} did not answer in time"
        with connect(address, "t", timeout=timedelta(milliseconds=50)) as hasty:
            assert str(raised(UnavailableError, lambda: hasty.meetings.ListMeetings(NOTHING))) == late
        with connect(address, "t", timeout=timedelta(hours=1)) as patient:
            error = raised(UnavailableError, lambda: patient.meetings.ListMeetings(NOTHING, timeout=0.05))
        assert str(error) == late


def publish(client: Client, *, title: str = "Weekly", key: str = "") -> pb.Event:
    """Publish an event, under an idempotency key or none."""
    payload = f'{{"meeting_id": "m-1", "title": "{title}"}}'
    request = pb.PublishEventRequest(event_type="recording.started", payload_json=payload, idempotency_key=key)
    return client.events.PublishEvent(request)
