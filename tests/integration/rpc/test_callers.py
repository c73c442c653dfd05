"""Who may call: only with a good token, known methods, and messages that can be read."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.rpc.interceptors import tokens
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

NO_TOKEN = grpc.StatusCode.UNAUTHENTICATED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


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
    world.client = WireClient(world.address, "nfh_wrong")
    with a_stream(world, "") as stream, refused(NO_TOKEN):
        stream.call.result(timeout=PATIENCE_S)


def test_an_unknown_method_is_said_to_be_unknown_to_who_may_call(world: World) -> None:
    """With a good token."""
    with refused(grpc.StatusCode.UNIMPLEMENTED):
        _call(world, "/noteflow.v1.MeetingService/No", ("authorization", f"bearer {world.token}"))


def test_a_revoked_token_is_refused_once_its_time_is_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token counts for three seconds after it was looked up, and no longer."""
    monkeypatch.setattr(tokens, "TOKEN_TTL_S", 0.05)
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
