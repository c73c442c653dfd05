"""What one caller may ask for: over a limit it is refused, with which one and until when; others go on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.rpc.interceptors import counting
from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.servicer import HooksServicer
from tests.integration.rpc.world import FORMAT, World, a_stream, eventually, refused
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire_client import WireClient

TOO_MUCH = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def status_of(error: grpc.RpcError) -> Status:
    """Return what the answer says to programs."""
    trailing: Any = error.trailing_metadata()
    (data,) = [value for key, value in trailing if key == "grpc-status-details-bin"]
    status = Status.FromString(data)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return status


@pytest.fixture
def _no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no time pass for rates, so that what was used up stays so."""
    monkeypatch.setattr(counting, "Buckets", partial(Buckets, clock=lambda: 0.0))


@pytest.mark.usefixtures("_no_refill")
def test_registrations_are_limited_in_each_workspace() -> None:
    """RegisterWebhook, TestWebhook and UpdateWebhook with a url count together; the answer says when to try again."""
    with World(limits=CallerLimits(registrations_per_minute=3)) as world:
        webhook = world.a_webhook()
        world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
        change = {"webhook_id": webhook.id, "url": "https://other.example/", "name": "Other"}
        _update(world, "url", **change)
        for call in (
            world.a_webhook,
            lambda: world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id)),
            lambda: _update(world, "url", "name", **change),
        ):
            _refused_for(call, at_most_s=20, line="at most 3 registrations, new URLs and tests a minute")
        _update(world, "name", **change)
        with world.stranger() as other:
            other.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(url="https://other.example/"))


@pytest.mark.usefixtures("_no_refill")
def test_a_registration_that_is_wrong_counts_too() -> None:
    """Else each would have us look up what a caller likes."""
    with World(limits=CallerLimits(registrations_per_minute=1)) as world:
        with refused(INVALID, "not allowed"):
            world.a_webhook(url="https://forbidden.example/")
        with refused(TOO_MUCH):
            world.a_webhook()


def test_calls_are_limited_for_each_token() -> None:
    """Two seconds' worth at once; another token of the same workspace has its own."""
    with World(limits=CallerLimits(token_calls_per_s=1)) as world:
        began = time.monotonic()
        calls = [world.client.meetings.ListMeetings.future(pb.ListMeetingsRequest()) for _ in range(60)]
        taken = sum(call.exception(timeout=30) is None for call in calls)
        assert 2 <= taken <= 3 + time.monotonic() - began
        line = "at most 1 calls a second with one token"
        _refused_for(lambda: _until_it_raises(world.a_meeting), at_most_s=1, line=line)
        _refused_for(lambda: _until_it_raises(lambda: _end_a_stream_at_once(world)), at_most_s=1, line=line)
        with world.stranger() as other:
            other.meetings.ListMeetings(pb.ListMeetingsRequest())
        eventually(lambda: _succeeds(world.a_meeting))


def test_who_waits_as_long_as_it_is_told_is_let_in() -> None:
    """The wait is never too short by a rounding."""
    with World(limits=CallerLimits(token_calls_per_s=100)) as world:
        for _ in range(300):
            try:
                world.a_meeting()
            except grpc.RpcError as error:
                time.sleep(_retry_after_s(error))
                world.a_meeting()


@pytest.mark.usefixtures("known_tokens")
def test_open_streams_are_limited_in_each_workspace() -> None:
    """Who opens them and says nothing exhausts its own; one that ends makes room, and other calls go on."""
    with World(limits=CallerLimits(streams_per_workspace=5)) as world, ExitStack() as stack:
        meeting = world.a_meeting()
        silent = [stack.enter_context(a_stream(world, meeting.id)) for _ in range(5)]
        with refused(TOO_MUCH, "at most 5 streams may be open at once"), a_stream(world, "") as stream:
            stream.call.result(timeout=PATIENCE_S)
        meeting = world.a_meeting()
        silent[0].call.cancel()
        eventually(lambda: _succeeds(lambda: _end_a_stream_at_once(world)))
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            assert stream.finish().duration_seconds == 1.0


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.chaos)])
def test_silent_streams_of_one_workspace_hold_up_nobody(count: int) -> None:
    """All but 200 are refused, and another workspace records meanwhile."""
    with World(limits=CallerLimits(token_calls_per_s=0)) as world, world.stranger() as other:
        codes = asyncio.run(_open_and_say_nothing(world, count=count, meanwhile=lambda: _record(other)))
        assert codes == {TOO_MUCH: count - 200}


@pytest.mark.usefixtures("known_tokens")
def test_open_calls_are_limited_in_each_workspace() -> None:
    """Whatever they are: those that wait for a slow answer leave room for other workspaces'."""
    with World(limits=CallerLimits(calls_per_workspace=4)) as world:
        webhook = world.a_webhook()
        request = pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=60)
        waiting = [world.client.webhooks.TestWebhook.future(request, timeout=100) for _ in range(4)]
        eventually(lambda: len(world.announced) == 4)
        with refused(TOO_MUCH, "at most 4 calls may be open at once"):
            world.a_meeting()
        with world.stranger() as other:
            other.meetings.ListMeetings(pb.ListMeetingsRequest())
        for call in waiting:
            call.cancel()
        eventually(lambda: _succeeds(world.a_meeting))


def test_a_call_without_a_deadline_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """UNAVAILABLE after the longest time that any may take, whatever holds it."""

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(HooksServicer, "ListMeetings", hang)
    with (
        World(limits=CallerLimits(longest_call=timedelta(seconds=0.2))) as world,
        refused(grpc.StatusCode.UNAVAILABLE, "the call was given up after 0.2 s"),
    ):
        world.client.meetings.ListMeetings(pb.ListMeetingsRequest(), timeout=None)


def test_what_is_wrong_with_a_field_is_said_to_programs_too(world: World) -> None:
    """google.rpc.BadRequest names the field and what is wrong with it."""
    with pytest.raises(grpc.RpcError) as caught:
        world.a_webhook(timeout_ms=1)
    violation = BadRequest()
    assert status_of(caught.value).details[0].Unpack(violation)
    (one,) = violation.field_violations
    assert one.field == "timeout_ms"
    assert f"timeout_ms: {one.description}" == caught.value.details()


def test_a_stream_s_wrong_field_is_said_to_programs_too(world: World) -> None:
    """As in a unary call."""
    with a_stream(world, "no id") as stream:
        stream.send(bytes(10))
        with pytest.raises(grpc.RpcError) as caught:
            stream.call.result(timeout=PATIENCE_S)
    assert BadRequest.DESCRIPTOR.full_name in status_of(caught.value).details[0].type_url


def _update(world: World, *paths: str, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    mask = FieldMask(paths=paths)
    return world.client.webhooks.UpdateWebhook(pb.UpdateWebhookRequest(update_mask=mask, **fields))


def _refused_for(call: Callable[[], object], *, at_most_s: float, line: str) -> None:
    """Expect a refusal that says so in words and in RetryInfo."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    wait_s = _retry_after_s(caught.value)
    assert 0 < wait_s <= at_most_s
    said = caught.value.details() or ""
    assert said.startswith(line)
    assert said.endswith(f"; try again in {wait_s:g} s")


def _until_it_raises(call: Callable[[], object]) -> None:
    """Call again and again: a slow machine may have been let in once more."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        call()


def _retry_after_s(error: grpc.RpcError) -> float:
    info = RetryInfo()
    assert status_of(error).details[0].Unpack(info)
    return float(info.retry_delay.ToTimedelta().total_seconds())


def _succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError:
        return False
    return True


def _end_a_stream_at_once(world: World) -> None:
    """Open a stream and say nothing; raise only what is said of limits."""
    try:
        world.client.meetings.StreamAudioSegments(iter(()))
    except grpc.RpcError as error:
        if error.code() is TOO_MUCH:
            raise


def _record(client: WireClient) -> None:
    """Record a meeting from its beginning to its end."""
    meeting = client.meetings.CreateMeeting(pb.CreateMeetingRequest())
    chunk = pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, audio=bytes(1000), format=FORMAT)
    assert client.meetings.StreamAudioSegments(iter([chunk]), timeout=PATIENCE_S).duration_seconds == 1.0


async def _open_and_say_nothing(world: World, *, count: int, meanwhile: Callable[[], None]) -> Counter[grpc.StatusCode]:
    """Open so many streams, and return how those ended that are refused; ``meanwhile`` the others are open."""
    metadata = [("authorization", f"Bearer {world.token}")]
    codes: Counter[grpc.StatusCode] = Counter()
    async with grpc.aio.insecure_channel(world.address) as channel:
        open_stream: Any = channel.stream_unary("/noteflow.v1.MeetingService/StreamAudioSegments")
        pending = {asyncio.ensure_future(open_stream(metadata=metadata).code()) for _ in range(count)}
        while len(pending) > 200:
            done, pending = await asyncio.wait(pending, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            assert done
            codes.update(each.result() for each in done)
        await asyncio.to_thread(meanwhile)
        for each in pending:
            each.cancel()
    return codes
