"""Tokens over the real PostgreSQL: how long one that ended still counts, and what recording its use waits for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from noteflow_hooks.domain.access import Scope
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.interceptors import tokens
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL, TOKEN_TTL_S
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.server.options import ServerOptions
from tests.integration.rpc.methods import METHODS, calling
from tests.integration.rpc.sqlworld import BOX, connected, world_over
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

LISTS = next(method for method in METHODS if method.name == "ListMeetings")
NOW = time.monotonic
#: So soon nothing goes on any more that a token has begun which was revoked or has ended.
WITHIN_S = 5.0


@pytest.fixture
def world(clean_database: str) -> Iterator[World]:
    """Offer a server over the database, emptied."""
    with world_over(clean_database) as running:
        yield running


def _last_use(world: World, token_id: UUID) -> datetime | None:
    with world.units() as unit:
        [found] = [each for each in unit.access.list_tokens() if each.id == token_id]
    return found.last_used_at


def _last_accepted(address: str, token: str) -> float:
    """Call until it is refused, and return when the last call began that was not."""
    began = last = NOW()
    code, line = grpc.StatusCode.OK, ""
    with calling(address, token) as caller:
        while code is grpc.StatusCode.OK and last < began + PATIENCE_S:
            begun = NOW()
            code, line, _ = caller.call(LISTS)
            last = begun if code is grpc.StatusCode.OK else last
    assert (code, line) == (grpc.StatusCode.UNAUTHENTICATED, REFUSAL)
    return last


def _let_end(url: str, token_id: UUID) -> None:
    """Have a token end now that was to last."""
    with connected(url) as connection:
        connection.execute("UPDATE noteflow.api_tokens SET expires_at = clock_timestamp() WHERE id = %s", [token_id])


def test_revoked_and_ended_tokens_are_refused_within_five_seconds(world: World, clean_database: str) -> None:
    """Calls that come, and streams: those under way, and one that begins while the revoked token is remembered."""
    assert TOKEN_TTL_S + ServerOptions().check_tokens_every.total_seconds() < WITHIN_S
    revoked, record = world.another_token()
    ending, ending_record = world.another_token(expires_at=datetime.now(UTC) + timedelta(hours=1))
    known_from = NOW()
    with ExitStack() as open_streams:
        tokens = (revoked, ending, world.token)
        client_of = {token: open_streams.enter_context(WireClient(world.address, token)) for token in tokens}
        streams = {}
        for token, client in client_of.items():
            stream = a_stream(world, world.a_meeting().id, client=client)
            streams[token] = open_streams.enter_context(stream)
            streams[token].send(bytes(1000))
        eventually(lambda: world.event_types() == ["recording.started"] * 3)
        _let_end(clean_database, ending_record.id)
        world.revoke(record.id)
        revoked_at = NOW()
        remembered = open_streams.enter_context(a_stream(world, world.a_meeting().id, client=client_of[revoked]))
        remembered.send(bytes(1000))
        with ThreadPoolExecutor() as pool, Stopwatch() as watch:
            accepted = [pool.submit(_last_accepted, world.address, token) for token in (revoked, ending)]
            eventually(lambda: streams[revoked].call.done() and remembered.call.done())
            assert watch.seconds < WITHIN_S
        for until in accepted:
            assert until.result() < revoked_at + TOKEN_TTL_S
        for token in (revoked, ending):
            with refused(grpc.StatusCode.UNAUTHENTICATED, REFUSAL):
                streams[token].call.result(timeout=PATIENCE_S)
        assert streams[world.token].finish().duration_seconds == 1.0
    begun = world.event_types().count("recording.started")
    # On a machine on which all this took long, the revoked token was remembered no more when the fourth one began.
    assert begun == 4 or (begun == 3 and NOW() > known_from + TOKEN_TTL_S)
    assert world.event_types().count("recording.stopped") == begun == len(world.event_types()) / 2


def test_a_use_is_recorded_soon_and_then_not_for_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the token is looked up."""
    monkeypatch.setattr(tokens, "TOKEN_TTL_S", 0.0)
    token, record = world.another_token(scopes=frozenset({Scope.READ}))
    client = WireClient(world.address, token)
    client.meetings.ListMeetings(pb.ListMeetingsRequest())
    eventually(lambda: _last_use(world, record.id) is not None)
    first = _last_use(world, record.id)
    for _ in range(20):
        client.meetings.ListMeetings(pb.ListMeetingsRequest())
    assert _last_use(world, record.id) == first
    client.close()


def test_a_use_that_can_not_be_recorded_now_keeps_no_call_waiting(world: World, clean_database: str) -> None:
    """Somebody holds the table, so that it can only be read; more tokens are used than the server has threads."""
    tokens = [world.another_token()[0] for _ in range(12)]
    with connected(clean_database) as other, other.transaction():
        other.execute("LOCK TABLE noteflow.api_tokens IN SHARE ROW EXCLUSIVE MODE")
        for token in tokens:
            with WireClient(world.address, token) as client:
                client.meetings.ListMeetings(pb.ListMeetingsRequest(), timeout=15)


def test_a_use_that_another_server_is_recording_is_left_to_it(world: World, clean_database: str) -> None:
    """The row is skipped, not waited for: a wait would end after 20 seconds only, with an error."""
    _, record = world.another_token()
    engine = create_engine(clean_database, connections=1)
    with connected(clean_database) as other, other.transaction():
        other.execute("SELECT FROM noteflow.api_tokens WHERE id = %s FOR UPDATE", [record.id])
        with SqlAlchemyUnitOfWork(engine, BOX) as unit:
            assert not unit.access.note_use(record.id)
            unit.commit()
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert unit.access.note_use(record.id)
    engine.dispose()


def test_a_token_goes_with_its_workspace(world: World, clean_database: str) -> None:
    """And so does the stream that it opened."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(bytes(1000))
        eventually(lambda: world.event_types() == ["recording.started"])
        with connected(clean_database) as connection:
            connection.execute("DELETE FROM noteflow.workspaces")
        with refused(grpc.StatusCode.UNAUTHENTICATED, REFUSAL):
            stream.call.result(timeout=PATIENCE_S)
