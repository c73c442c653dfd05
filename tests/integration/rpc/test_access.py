"""Who gets in, over a real channel: every RPC of every service, and those that don't exist."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.access import ALL_SCOPES, Scope, generate_token
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import MemoryStore
from noteflow_hooks.persistence.memory.access import InMemoryAccessRepository
from noteflow_hooks.rpc.interceptors import auth, tokens
from noteflow_hooks.rpc.interceptors.scopes import SCOPES
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.frames import status_of_call
from tests.integration.rpc.methods import METHODS, calling
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.builders import hours
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from uuid import UUID

Status = grpc.StatusCode
LIST = "/noteflow.v1.MeetingService/ListMeetings"
NOT_THERE = [
    "/noteflow.v1.MeetingService/No",
    "/noteflow.v1.No/ListMeetings",
    "/noteflow.v2.MeetingService/ListMeetings",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1/Check",
    "/No/Such",
    "/",
]


def _bad_token(world: World, what: str) -> str | None:
    token = generate_token()
    if what == "revoked":
        token, record = world.another_token()
        world.revoke(record.id)
    if what == "ended":
        token, _ = world.another_token(expires_at=datetime.now(UTC) - timedelta(milliseconds=1))
    return None if what == "none" else token


@pytest.mark.parametrize("what", ["none", "unknown", "revoked", "ended"])
def test_nothing_but_health_answers_without_a_good_token(what: str) -> None:
    """Every RPC, in each of gRPC's four kinds, and what doesn't exist: all with the same line, reflection on or not."""
    with World(reflection=True) as world, calling(world.address, _bad_token(world, what)) as caller:
        for path in (*(each.path for each in METHODS), *NOT_THERE):
            if "reflection" not in path:
                assert caller.refusals(path) == {(Status.UNAUTHENTICATED, REFUSAL)}, path
    with World() as world, calling(world.address, _bad_token(world, what)) as caller:
        for path in NOT_THERE:
            assert caller.refusals(path) == {(Status.UNAUTHENTICATED, REFUSAL)}, path


def test_what_does_not_exist_is_unimplemented_for_who_may_call(world: World) -> None:
    """Whatever its token's scopes are."""
    token, _ = world.another_token(scopes=frozenset({Scope.READ}))
    with calling(world.address, token) as caller:
        for path in NOT_THERE:
            assert {code for code, _ in caller.refusals(path)} == {Status.UNIMPLEMENTED}, path


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_opens_its_own_rpcs_and_no_others(world: World, scope: Scope) -> None:
    """What is refused is told which scope it takes, and which there is."""
    token, _ = world.another_token(scopes=frozenset({scope}))
    with calling(world.address, token) as caller:
        for method in METHODS:
            code, line, _ = caller.call(method)
            if SCOPES[method.path] in (scope, None):
                assert code in (Status.OK, Status.INVALID_ARGUMENT), (method.name, line)
            else:
                wanted = f"{method.name} needs the scope {SCOPES[method.path]}; this token has {scope}"
                assert (code, line) == (Status.PERMISSION_DENIED, wanted)


@pytest.mark.parametrize("missing", list(Scope))
def test_two_scopes_are_not_three(world: World, missing: Scope) -> None:
    """The refusal lists what the token has, in the order of the names."""
    token, _ = world.another_token(scopes=ALL_SCOPES - {missing})
    has = ", ".join(sorted(ALL_SCOPES - {missing}))
    with calling(world.address, token) as caller:
        for method in METHODS:
            code, line, _ = caller.call(method)
            needs_it = SCOPES[method.path] is missing
            assert (code is Status.PERMISSION_DENIED) == needs_it, method.name
            assert not needs_it or line.endswith(f"; this token has {has}")


def test_a_command_says_which_scope_its_token_lacks(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, and fails."""
    token, _ = world.another_token(scopes=frozenset({Scope.PUBLISH}))
    assert run(root, ["webhooks", "list", "--server", world.address, "--token", token]) == 1
    said = capsys.readouterr().err
    assert said == "noteflow-hooks: ListWebhooks needs the scope read; this token has publish\n"


def test_what_is_refused_for_its_scope_changes_nothing(world: World) -> None:
    """The handler never runs."""
    webhook = world.a_webhook()
    token, _ = world.another_token(scopes=frozenset({Scope.READ}))
    client = WireClient(world.address, token)
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=FieldMask(paths=["name"]), name="mine")
    with refused(Status.PERMISSION_DENIED, "manage"):
        client.webhooks.UpdateWebhook(request)
    assert client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id)).name == webhook.name
    client.close()


def test_an_rpc_that_the_table_of_scopes_does_not_know_is_not_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is added to the proto alone is closed to everybody."""
    monkeypatch.setattr(auth, "SCOPES", {path: scope for path, scope in SCOPES.items() if path != LIST})
    with calling(world.address, world.token) as caller:
        outcomes = {method.path: caller.call(method)[0] for method in METHODS}
    assert [path for path, code in outcomes.items() if code is Status.UNIMPLEMENTED] == [LIST]


@pytest.mark.parametrize(
    "headers",
    [
        [b"Bearer {token}\x00"],
        [b"Bearer {token}\r\nx: y"],
        [b"Bearer \x01\x02\x7f"],
        [b"Bearer \xff\xfe"],
        [b"Bearer \xc3\xa9"],
        [b"\xff"],
        [b"Bearer\t{token}"],
        [b"Bearer {token}", b"Bearer {token}"],
        [b"Bearer {token}, Bearer {token}"],
        [b"Bearer " + b"a" * 8_000],
    ],
    ids=["nul", "lines", "control", "no utf-8", "utf-8", "byte", "tab", "two", "list", "long"],
)
def test_metadata_that_no_client_sends_is_unauthenticated(world: World, headers: list[bytes]) -> None:
    """And the server lives: the very next call with a good token is answered."""
    token = world.token.encode()
    sent = [(b"authorization", header.replace(b"{token}", token)) for header in headers]
    assert status_of_call(world.address, LIST, *sent) == Status.UNAUTHENTICATED.value[0]
    assert status_of_call(world.address, LIST, (b"authorization", b"Bearer " + token)) == Status.OK.value[0]


def test_a_token_of_16_kilobytes_is_refused_before_anything_of_ours_sees_it(world: World) -> None:
    """By gRPC's own limit on metadata; the connection lives on."""
    with calling(world.address, "a" * 16_384) as caller:
        assert {code for code, _ in caller.refusals(LIST)} == {Status.RESOURCE_EXHAUSTED}
    world.a_meeting()


def test_a_token_in_binary_metadata_counts_as_none(world: World) -> None:
    """Neither in place of the one that counts nor beside it."""
    binary = ("authorization-bin", f"Bearer {world.token}".encode())
    good = ("authorization", f"Bearer {world.token}")
    with grpc.insecure_channel(world.address) as channel:
        lists: Any = channel.unary_unary(LIST)
        with refused(Status.UNAUTHENTICATED):
            lists(b"", metadata=[binary], timeout=PATIENCE_S)
        lists(b"", metadata=[binary, good], timeout=PATIENCE_S)


def test_a_token_s_text_is_in_no_log_answer_or_repr(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good, narrow, revoked or unknown: at the lowest level, in what callers are told, in what a command prints."""
    narrow, record = world.another_token(scopes=frozenset({Scope.PUBLISH}))
    revoked, gone = world.another_token()
    world.revoke(gone.id)
    unknown = generate_token()
    with caplog.at_level(logging.DEBUG):
        for token in (world.token, narrow, revoked, unknown):
            with calling(world.address, token) as caller:
                told = [str(caller.call(method)) for method in METHODS]
            run(root, ["webhooks", "list", "--server", world.address, "--token", token])
            everything = [*told, caplog.text, *capsys.readouterr(), repr(record), repr(gone)]
            assert not [text for text in everything if token.removeprefix("nfh_") in text]


def _failing(kind: Exception) -> object:
    def note_use(*_: object) -> bool:
        raise kind

    return note_use


@pytest.mark.parametrize(
    ("kind", "level"),
    [(UnavailableError(), logging.DEBUG), (ValueError("broken"), logging.ERROR)],
    ids=["away", "broken"],
)
def test_a_use_that_can_not_be_recorded_fails_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Exception, level: int
) -> None:
    """It is logged, with the token's id; the next minute's use is as good."""
    monkeypatch.setattr(InMemoryAccessRepository, "note_use", _failing(kind))
    with caplog.at_level(logging.DEBUG, logger=tokens.__name__), World() as world:
        world.a_meeting()
        eventually(lambda: bool(caplog.records))
    [record] = caplog.records
    assert record.levelno == level


def test_one_token_s_use_is_asked_to_be_recorded_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is looked up, and from however many calls at once."""
    asked: list[UUID] = []
    monkeypatch.setattr(InMemoryAccessRepository, "note_use", lambda _, token_id: asked.append(token_id))
    monkeypatch.setattr(tokens, "TOKEN_TTL_S", 0.0)
    with World() as world:
        callers = [threading.Thread(target=world.a_meeting) for _ in range(20)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        world.a_meeting()
    assert len(asked) == 1


@pytest.mark.parametrize("how", ["revoked", "ended"])
def test_a_stream_ends_with_its_token(how: str) -> None:
    """What had arrived by then counts: the recording ends as any other, and another token's stream goes on."""
    later = [timedelta(0)]
    store = MemoryStore(now=lambda: datetime.now(UTC) + later[0])
    with World(store=store, check_tokens_every=timedelta(seconds=0.05)) as world:
        token, record = world.another_token(expires_at=datetime.now(UTC) + hours(1))
        mine, other = world.a_meeting(), world.a_meeting()
        with a_stream(world, other.id) as going_on:
            going_on.send(bytes(1000))
            with WireClient(world.address, token) as client, a_stream(world, mine.id, client=client) as stream:
                stream.send(bytes(1500), "One.")
                eventually(lambda: world.event_types().count("recording.started") == 2)
                if how == "revoked":
                    world.revoke(record.id)
                else:
                    later[0] = hours(1)
                with refused(Status.UNAUTHENTICATED, REFUSAL):
                    stream.call.result(timeout=PATIENCE_S)
            assert world.payload("recording.stopped")["duration_seconds"] == 1.5
            going_on.send(bytes(1000))
            assert going_on.finish().duration_seconds == 2.0


def test_a_token_that_ends_is_refused_though_it_is_remembered(world: World) -> None:
    """Its end is looked at on each call: it doesn't count for the rest of the time it is kept."""
    ends_at = datetime.now(UTC) + timedelta(seconds=0.5)
    token, _ = world.another_token(expires_at=ends_at)
    lists = next(method for method in METHODS if method.path == LIST)
    with calling(world.address, token) as caller:
        while datetime.now(UTC) < ends_at:
            caller.call(lists)
        assert caller.call(lists)[:2] == (Status.UNAUTHENTICATED, REFUSAL)
