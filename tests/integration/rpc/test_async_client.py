"""The client of asyncio against a real server: calls, streams, many events, and what each raises."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

import grpc
import pytest

from noteflow_hooks.client import connect_async, event_request, pb
from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    UnencryptedError,
)
from tests.integration.rpc.world import FORMAT, World
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from noteflow_hooks.client import AsyncClient

T = TypeVar("T")
PATIENCE: Final = timedelta(seconds=PATIENCE_S)
PAYLOAD: Final = {"meeting_id": "m-1", "title": "Weekly"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One server for all of these."""
    with World() as world:
        yield world


def run(world: World, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Do the work with a client, in a loop of its own, and return what it returns."""

    async def connected() -> T:
        async with connect_async(world.address, world.token, timeout=PATIENCE) as client:
            return await work(client)

    return asyncio.run(connected())


def test_many_tasks_share_a_client(world: World) -> None:
    """All call at the same time."""

    async def work(client: AsyncClient) -> list[pb.Event]:
        publishing = [client.publish("recording.started", PAYLOAD | {"title": f"{number}"}) for number in range(20)]
        return list(await asyncio.gather(*publishing))

    events = run(world, work)
    assert len({event.id for event in events}) == 20


def test_a_call_raises_our_error_where_it_is_awaited(world: World) -> None:
    """Its cause is gRPC's own, and the client goes on."""

    async def work(client: AsyncClient) -> None:
        with pytest.raises(NotFoundError) as caught:
            await client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=str(uuid4())))
        assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
        await client.publish("recording.started", PAYLOAD, idempotency_key="k-1")
        with pytest.raises(AlreadyExistsError):
            await client.publish("recording.started", PAYLOAD | {"title": "Another"}, idempotency_key="k-1")
        assert (await client.publish("recording.started", PAYLOAD, idempotency_key="k-1")).idempotency_key == "k-1"

    run(world, work)


def test_a_call_is_grpc_s_own_besides(world: World) -> None:
    """With its code, and metadata of the caller's own beside the token."""

    async def work(client: AsyncClient) -> grpc.StatusCode:
        call = client.meetings.ListMeetings(pb.ListMeetingsRequest(), metadata=(("x-mine", "1"),))
        await call
        return await call.code()

    assert run(world, work) is grpc.StatusCode.OK


def test_many_events_have_an_outcome_each(world: World) -> None:
    """In their order."""

    async def work(client: AsyncClient) -> list[pb.Event | NoteFlowHooksError]:
        good, bad = event_request("recording.started", PAYLOAD), event_request("recording.started", {})
        return await client.publish_events([good, bad, good])

    first, refused, third = run(world, work)
    assert isinstance(refused, InvalidInputError)
    assert isinstance(first, pb.Event)
    assert isinstance(third, pb.Event)
    assert first.id != third.id


def test_audio_is_streamed_to_it(world: World) -> None:
    """From an iterator of the program's, and refused where the meeting is over."""

    async def chunks(meeting_id: str) -> AsyncIterator[pb.StreamAudioSegmentsRequest]:
        yield pb.StreamAudioSegmentsRequest(meeting_id=meeting_id, format=FORMAT)
        yield pb.StreamAudioSegmentsRequest(audio=bytes(500))

    async def work(client: AsyncClient) -> None:
        meeting = await client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Weekly"))
        recorded = await client.meetings.StreamAudioSegments(chunks(meeting.id))
        assert recorded.duration_seconds == 0.5
        await client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting.id))
        with pytest.raises(PreconditionError):
            await client.meetings.StreamAudioSegments(chunks(meeting.id))

    run(world, work)


def test_a_stream_of_answers_raises_our_error_too(world: World) -> None:
    """Where it is iterated, and where it is read."""

    async def work(client: AsyncClient) -> None:
        wrong = pb.WatchDeliveriesRequest(webhook_id="no id")
        with pytest.raises(InvalidInputError, match="webhook_id"):
            async for _ in client.webhooks.WatchDeliveries(wrong):
                pass
        with pytest.raises(InvalidInputError, match="webhook_id"):
            await client.webhooks.WatchDeliveries(wrong).read()

    run(world, work)


def test_a_call_takes_no_longer_than_the_timeout_allows() -> None:
    """This server takes connections and says nothing."""

    async def work(address: str) -> None:
        async with connect_async(address, "t") as client:
            await client.publish("recording.started", PAYLOAD, timeout=timedelta(milliseconds=50))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=f"^{address} did not answer in time$"):
            asyncio.run(work(address))


def test_it_keeps_the_token_as_the_other_client_does() -> None:
    """And says so before it connects."""

    async def connected() -> None:
        with pytest.raises(UnencryptedError):
            connect_async("10.0.0.7:1", "t")
        with pytest.raises(InvalidInputError, match=r"^token: "):
            connect_async("127.0.0.1:1", "")
        await connect_async("10.0.0.7:1", "t", credentials=grpc.ssl_channel_credentials()).close()

    asyncio.run(connected())
