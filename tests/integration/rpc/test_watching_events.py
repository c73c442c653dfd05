"""WatchEvents: what is told, to whom, from where on, what a cursor is good for, and what ends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import grpc
import pytest

from noteflow_hooks.application import event_watching as application
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.messages.pages import cursor_of
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.watching import watcher as watcher_module
from tests.integration.rpc.sqlworld import connected, world_over
from tests.integration.rpc.watched import EventWatch, watching_events
from tests.integration.rpc.world import World, refused
from tests.support.builders import a_payload, an_event
from tests.support.waiting import until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

OFTEN: Final[dict[str, Any]] = {"look_every": timedelta(seconds=0.05), "watch_heartbeat": timedelta(seconds=0.2)}
MOST: Final = 4


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Offer a server that looks often, over a store in memory. Each test watches from its own beginning."""
    limits = CallerLimits(watches_per_workspace=MOST)
    with World(limits=limits, **OFTEN) as made:
        yield made


@pytest.fixture
def stored(clean_database: str) -> Iterator[World]:
    """Offer one over PostgreSQL."""
    with world_over(clean_database, **OFTEN) as made:
        yield made


def publish(world: World, event_type: str = "meeting.completed", **own: Any) -> pb.Event:  # noqa: ANN401 - a payload's fields
    payload = json.dumps(a_payload(executive_summary="Fine.", key_points_count=1, action_items_count=0, **own))
    return world.client.events.PublishEvent(pb.PublishEventRequest(event_type=event_type, payload_json=payload))


def watch_of(world: World, **fields: Any) -> Any:  # noqa: ANN401 - gRPC's call
    return world.client.events.WatchEvents(pb.WatchEventsRequest(**fields))


def test_each_event_is_told_once_with_its_payload_and_a_cursor(world: World) -> None:
    """The first message says that the watch has begun; another workspace is told nothing of it."""
    with world.stranger() as stranger, watching_events(stranger) as theirs, watching_events(world.client) as watch:
        assert not watch.messages[0].HasField("event")
        assert watch.messages[0].cursor
        first, second = publish(world), publish(world, "recording.started")
        watch.wait_for_ids(first.id, second.id)
        told = [each for each in watch.messages if each.HasField("event")]
        assert [each.event.payload for each in told] == [first.payload, second.payload]
        assert len({each.cursor for each in told}) == 2
        until(lambda: len(theirs.messages) >= 4, what="there are heartbeats")
        assert theirs.ids == []
        cursors = [each.cursor for each in theirs.messages]
        assert len(set(cursors)) > 1


def test_only_these_types_and_only_what_an_endpoint_subscribes_to_are_told(world: World) -> None:
    """A test of the endpoint is for it alone; another endpoint's is not, and nothing is from before it."""
    earlier = datetime.now(UTC) - timedelta(minutes=1)
    before = publish(world, "summary.generated")
    mine = world.a_webhook(events=["summary.generated"])
    other = world.a_webhook(events=["recording.started"])
    by_type, own = {"types": ["recording.started", "custom.never"]}, {"webhook_id": mine.id, "since": earlier}
    with watching_events(world.client, **by_type) as some, watching_events(world.client, **own) as ours:
        kinds = ("meeting.completed", "recording.started", "summary.generated")
        completed, started, summary = [publish(world, kind) for kind in kinds]
        tests = [
            world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=each.id)).event_id
            for each in (other, mine)
        ]
        last = publish(world, "summary.generated")
        ours.wait_for_ids(summary.id, tests[1], last.id)
        some.wait_for_ids(started.id)
        assert before.id not in ours.ids
        assert completed.id not in some.ids


def test_what_an_endpoint_s_filter_holds_back_or_fails_on_is_not_told(world: World) -> None:
    """Its test is, which no filter is asked about."""
    webhook = world.a_webhook(events=["meeting.completed"], filter="data.title == 'Board' || data.wanted")
    with watching_events(world.client, webhook_id=webhook.id) as watch:
        publish(world)
        publish(world, wanted=False)
        board = publish(world, title="Board")
        wanted = publish(world, wanted=True)
        test = world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id)).event_id
        watch.wait_for_ids(board.id, wanted.id, test)


def test_a_watch_goes_on_behind_a_cursor_and_tells_nothing_twice(world: World) -> None:
    """Whatever was stored meanwhile comes first; a time in place of the cursor does for a beginning."""
    began = datetime.now(UTC)
    with watching_events(world.client, types=["recording.stopped"]) as watch:
        first, second = publish(world, "recording.stopped"), publish(world, "recording.stopped")
        watch.wait_for_ids(first.id, second.id)
        cursors = [each.cursor for each in watch.messages if each.HasField("event")]
    third = publish(world, "recording.stopped")
    for fields, told in (
        ({"cursor": cursors[0]}, (second, third)),
        ({"cursor": cursors[1]}, (third,)),
        ({"since": began}, (first, second, third)),
        ({"since": began + timedelta(days=1)}, ()),
    ):
        with watching_events(world.client, types=["recording.stopped"], **fields) as again:
            until(lambda: len(again.messages) > len(told) + 1, what="a heartbeat follows")  # noqa: B023 - called here
            assert again.ids == [each.id for each in told]


def test_what_can_t_be_is_refused_by_its_field(world: World) -> None:
    """All of it at once; an endpoint that is not there is not found, whosever it is."""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "types", "webhook_id", "cursor"):
        next(watch_of(world, types=["meeting"], webhook_id="x", cursor="x"))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "cursor", "not both"):
        next(watch_of(world, since=datetime.now(UTC), cursor=cursor_of(Position(datetime.now(UTC), uuid4()))))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "cursor"):
        next(watch_of(world, cursor=cursor_of(Position(datetime.now(UTC) + timedelta(days=1), uuid4()))))
    with world.stranger() as stranger:
        theirs = stranger.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(url="https://a.example/"))
    for each in (str(uuid4()), theirs.id):
        with refused(grpc.StatusCode.NOT_FOUND, each):
            next(watch_of(world, webhook_id=each))


def test_it_counts_among_the_workspace_s_watches_and_needs_the_scope_read(world: World) -> None:
    """Together with those of deliveries; one that ends makes room."""
    token, _ = world.another_token(scopes=frozenset({Scope.PUBLISH, Scope.MANAGE}))
    client = WireClient(world.address, token)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "read"):
        next(client.events.WatchEvents(pb.WatchEventsRequest()))
    client.close()
    deliveries: Any = world.client.webhooks.WatchDeliveries(pb.WatchDeliveriesRequest())
    next(deliveries)
    others = [EventWatch(world.client) for _ in range(MOST - 1)]
    for each in others:
        each.wait_until_begun()
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST} watches"):
        next(watch_of(world))
    deliveries.cancel()
    for each in others:
        each.close()
    until(lambda: _can_watch(world), what="there is room again")


def _can_watch(world: World) -> bool:
    call = watch_of(world)
    try:
        next(call)
    except grpc.RpcError:
        return False
    call.cancel()
    return True


def test_a_revoked_token_ends_it_and_so_does_a_server_that_stops() -> None:
    """It says how to go on; others' watches stay until then."""
    with World(check_tokens_every=timedelta(seconds=0.1), **OFTEN) as world:
        token, record = world.another_token()
        client = WireClient(world.address, token)
        with watching_events(client) as watch, watching_events(world.client) as other:
            world.revoke(record.id)
            until(lambda: watch.error, what="it has ended")
            assert watch.error is not None
            assert watch.error.code() is grpc.StatusCode.UNAUTHENTICATED
            event = publish(world)
            other.wait_for_ids(event.id)
            world.stop()
            until(lambda: other.error, what="it has ended")
            assert other.error is not None
            assert other.error.code() is grpc.StatusCode.UNAVAILABLE
            assert "cursor" in (other.error.details() or "")
        client.close()


def test_no_cursor_passes_what_commits_late(stored: World, clean_database: str) -> None:
    """Others' events wait with it, however long, and a watch that begins meanwhile does so before it."""
    with connected(clean_database) as connection, watching_events(stored.client) as watch:
        with connection.transaction():
            late = _insert(connection, stored)
            after = publish(stored)
            seen = len(watch.messages)
            until(lambda: len(watch.messages) > seen + 3, what="heartbeats come")
            assert watch.ids == []
            meanwhile = EventWatch(stored.client)
            meanwhile.wait_until_begun()
            cursor = meanwhile.messages[0].cursor
            meanwhile.close()
        watch.wait_for_ids(late, after.id)
    with watching_events(stored.client, cursor=cursor) as again:
        again.wait_for_ids(late, after.id)


def _insert(connection: Any, world: World) -> str:  # noqa: ANN401 - psycopg's
    """Store an event in a transaction that stays open."""
    return str(
        connection.execute(
            "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at)"
            " VALUES (%s, 'meeting.completed', '{}', now()) RETURNING id",
            [world.workspace_id],
        ).fetchone()[0]
    )


def test_who_only_reads_or_writes_elsewhere_holds_nothing_back(stored: World, clean_database: str) -> None:
    """Nor does a transaction that has not written yet: what it writes gets a later moment."""
    with connected(clean_database) as connection, watching_events(stored.client) as watch:
        with connection.transaction():
            connection.execute("UPDATE noteflow.workspaces SET name = name")
            connection.execute("SELECT count(*) FROM noteflow.webhook_events")
            before = publish(stored)
            watch.wait_for_ids(before.id)
            late = _insert(connection, stored)
        watch.wait_for_ids(before.id, late)


def test_a_slow_reader_misses_the_oldest_and_gets_them_by_the_cursor_before(
    stored: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded, and what was left out is counted; page after page is read, in order."""
    monkeypatch.setattr(watcher_module, "WAITING", 10)
    monkeypatch.setattr(application, "EVENTS_AT_ONCE", 7)
    slow, count = watch_of(stored), 300
    begun = next(slow)
    with watching_events(stored.client) as quick:
        ids = [str(each) for _ in range(count // 20) for each in _store(stored, 20)]
        until(lambda: quick.ids[-1:] == ids[-1:], what="all are told")
    told, missed, first = [], 0, begun.cursor
    for message in slow:
        if message.HasField("event"):
            missed += message.missed
            told.append(message.event.id)
        if message.event.id == ids[-1]:
            break
    slow.cancel()
    assert missed > 0
    assert len(told) + missed == count
    with watching_events(stored.client, cursor=first) as again:
        again.wait_for_ids(*ids)


def _store(world: World, count: int) -> list[Any]:
    payload = json.dumps({"padding": "x" * 4000}).encode()
    events = [an_event(workspace_id=world.workspace_id, payload=payload) for _ in range(count)]
    with world.units() as unit:
        made = [each.id for each in unit.events.append_many(events) if not isinstance(each, Exception)]
        unit.commit()
    return made
