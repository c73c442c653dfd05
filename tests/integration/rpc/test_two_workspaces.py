"""Two workspaces and every RPC, over the real PostgreSQL: what belongs to one is, for the other, not there at all.

Another's id is answered as one that never was, to the letter; nothing of the other's changes, and no list shows it.
"""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.methods import METHODS, calling
from tests.integration.rpc.sqlworld import BOX, all_rows, world_over
from tests.integration.rpc.world import FORMAT, World, a_stream, eventually
from tests.support.builders import EXACT, a_failure, a_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.rpc.methods import Caller, Method
    from tests.integration.rpc.world import Stream

#: What each RPC is called with beside the id; those with more than one way have an entry for each.
BY_ID: Final[dict[str, list[dict[str, Any]]]] = {
    "GetMeeting": [{}],
    "StopMeeting": [{}],
    "GenerateSummary": [{}, {"summary": pb.Summary(executive_summary="Mine.")}],
    "StreamAudioSegments": [
        {"format": FORMAT, "audio": bytes(1000)},
        {"format": FORMAT, "segments": [pb.TranscriptSegment(text="Mine.", end_seconds=1)]},
    ],
    "GetWebhook": [{}],
    "UpdateWebhook": [
        {"update_mask": FieldMask(paths=["url"]), "url": "https://mine.example/"},
        {"update_mask": FieldMask(paths=["enabled"])},
        {"update_mask": FieldMask(paths=["paused"]), "paused": True},
    ],
    "DeleteWebhook": [{}],
    "RotateWebhookSecret": [{}, {"secret": "a-secret-of-mine", "overlap_seconds": 0}],
    "TestWebhook": [{}, {"wait_seconds": 0.2}],
    # By the event; that the endpoint is looked for in the caller's workspace, too, its own tests say.
    "PreviewFilter": [{"filter": "true"}],
    "PreviewPayload": [{"format": "standard"}],
    "VerifyWebhook": [{}, {"wait_seconds": 0.2}],
    "ConfirmContact": [{"code": "AAAA-AAAA-AAAA"}],
    "GetDelivery": [{}],
    "RedeliverDelivery": [{}],
    "SkipDelivery": [{}],
    "ReplayDeliveries": [{}, {"dry_run": True}, {"status": "succeeded"}],
    "GetReplay": [{}],
    "GetEvent": [{}, {"page_size": 1}],
    "CancelReplay": [{}],
    "GetStats": [{}, {"with_now": True, "with_event_types": True}],
}
#: These take an id only to narrow things down: with one that never was they find nothing, and that is no error.
NARROWED: Final[dict[str, list[dict[str, Any]]]] = {
    "ListDeliveries": [{}, {"status": "dead"}],
    "ListUndelivered": [{}],
    "ListEvents": [{}, {"event_type": "meeting.completed"}],
    "EraseMeetingPayloads": [{}],
    "ListAuditEntries": [{}, {"action": "webhook.registered"}],
}
LISTS: Final = (
    "ListMeetings",
    "ListWebhooks",
    "ListDeliveries",
    "ListUndelivered",
    "ListReplays",
    "ListEvents",
    "ListAuditEntries",
)
#: What names nothing that is there.
ANEW: Final = ("CreateMeeting", "RegisterWebhook", "PublishEvent", "PublishEvents")
#: What names an event type in place of an id.
BY_TYPE: Final = ("GetEventType", "PutEventType", "DeleteEventType", "ListEventTypes")
#: What takes nothing.
BARE: Final = ("WhoAmI", "GetSystemState")
#: What only narrows down what it will tell of: `test_watching.py` and `test_watching_events.py` look whom it tells.
WATCHES: Final = ("WatchDeliveries", "WatchEvents")
#: By which of several ids a call names a thing; the others only narrow down.
NAMING: Final = {"ReplayDeliveries": "webhook_id"}
BY_NAME: Final = {method.name: method for method in METHODS}
KEY: Final = "an order's number"
OWN: Final = "custom.of_theirs"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Full:
    """A workspace in which there is one of everything, or more, and a meeting that is being recorded."""

    world: World
    #: By the field that names one of them.
    ids: dict[str, list[str]]
    recording: Stream
    #: All rows of the database, as they are while nobody calls.
    url: str

    @property
    def all_ids(self) -> set[str]:
        """Every id in any row that belongs to it: rows of the stranger's are none by then."""
        return {found for rows in all_rows(self.url).values() for row in rows for found in _ID.findall(row)}


@pytest.fixture
def full(clean_database: str) -> Iterator[Full]:
    """Offer the full workspace. Nothing changes by itself: no sign of life is written meanwhile."""
    with world_over(clean_database, heartbeat_every=timedelta(hours=1)) as world:
        done, recorded = world.a_meeting("Very secret"), world.a_meeting("Being recorded")
        with a_stream(world, done.id) as stream:
            stream.send(bytes(1000), "What was said is confidential.")
            stream.finish()
        world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=done.id))
        webhooks = [world.a_webhook(secret="a-secret-of-theirs", name=name) for name in ("one", "two")]
        world.stop_meeting(done.id)
        event = _publish(world, KEY)
        world.client.events.PutEventType(pb.PutEventTypeRequest(name=OWN, schema="{}", description="Very secret."))
        deliveries = _work(clean_database)
        replays = [_replay(world, each.id) for each in webhooks]
        with a_stream(world, recorded.id) as recording:
            recording.send(bytes(1000))
            eventually(lambda: world.event_types().count("recording.started") == 2)
            ids = {
                "meeting_id": [done.id, recorded.id],
                "webhook_id": [each.id for each in webhooks],
                "delivery_id": deliveries,
                "replay_id": replays,
                "event_id": [event.id, str(world.events()[0].id)],
                "target_id": [each.id for each in webhooks],
            }
            yield Full(world, ids, recording, clean_database)


@contextmanager
def _stranger(full: Full) -> Iterator[Caller]:
    """Offer a caller of another workspace, with every scope."""
    with calling(full.world.address, full.world.make_token()[0]) as caller:
        yield caller


def _without_strangers(full: Full) -> dict[str, list[str]]:
    """Return all rows, without what is on record of a stranger's own calls."""
    rows = all_rows(full.url)
    own = [each for each in rows["audit_log"] if str(full.world.workspace_id) in each]
    return rows | {"audit_log": own}


def _publish(world: World, key: str) -> pb.Event:
    payload = json.dumps(a_payload())
    return world.client.events.PublishEvent(
        pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload, idempotency_key=key)
    )


def _work(url: str) -> list[str]:
    """Do what a worker does whose receivers answer 500, and return the deliveries' ids."""
    engine = create_engine(url, connections=1)
    store = SqlAlchemyDeliveryStore(engine, BOX)
    ids = store.dispatch([], limit=100).delivery_ids
    for claim in store.claim(ids, limit=100, lease_slack=timedelta(seconds=10)):
        after, _ = claim.delivery.attempted(a_failure(), max_retries=1, policy=EXACT, draw=0.5)
        store.settle([Settlement(after, attempt=a_failure())])
    engine.dispose()
    return [str(each) for each in ids]


def _replay(world: World, webhook_id: str) -> str:
    return world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook_id)).id


def _answer(caller: Caller, method: Method, field: str, identifier: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
    """Return what such a call is answered with, with the id taken out."""
    code, line, response = caller.call(method, **{field: identifier}, **fields)
    return code, f"{line}{response}".replace(identifier, "ID")


def test_every_rpc_is_in_one_of_the_tables_here() -> None:
    """A new one has to be thought about, and one that takes an id can't be left out of the trial."""
    known = {*BY_ID, *NARROWED, *LISTS, *ANEW, *BY_TYPE, *BARE, *WATCHES}
    assert known == set(BY_NAME)
    assert {name for name, method in BY_NAME.items() if method.id_fields} == {*BY_ID, *NARROWED, *WATCHES}
    assert {*LISTS, "ListEventTypes"} == {name for name in BY_NAME if name.startswith("List")}


def test_another_workspace_s_things_are_not_there(full: Full) -> None:
    """NOT_FOUND with the very line that an id gets that never was; no row changes, and the recording goes on."""
    tried = 0
    assert all(len(ids) >= 2 for ids in full.ids.values()), full.ids
    with _stranger(full) as caller:
        before = all_rows(full.url)
        for name, ways in BY_ID.items():
            field = NAMING.get(name, min(BY_NAME[name].id_fields))
            for fields in ways:
                unknown = _answer(caller, BY_NAME[name], field, str(uuid4()), **fields)
                assert unknown[0] is grpc.StatusCode.NOT_FOUND, (name, unknown)
                for each in full.ids[field]:
                    tried += 1
                    assert _answer(caller, BY_NAME[name], field, each, **fields) == unknown, name
    assert tried >= 2 * len(BY_ID)
    assert all_rows(full.url) == before
    full.recording.send(bytes(500))
    assert full.recording.finish().duration_seconds == 1.5


def test_narrowing_by_another_workspace_s_id_finds_nothing(full: Full) -> None:
    """As narrowing by one that never was, with the very same answer; nothing is erased."""
    with _stranger(full) as caller:
        before = _without_strangers(full)
        for name, ways in NARROWED.items():
            for field, fields in product(sorted(BY_NAME[name].id_fields), ways):
                unknown = _answer(caller, BY_NAME[name], field, str(uuid4()), **fields)
                assert unknown == (grpc.StatusCode.OK, ""), name
                for each in (*full.ids[field], "m-1") if field == "meeting_id" else full.ids[field]:
                    assert _answer(caller, BY_NAME[name], field, each, **fields) == unknown, name
        for field in ("event_id", "meeting_id"):
            for each in (*full.ids[field], "m-1") if field == "meeting_id" else full.ids[field]:
                code, _, counted = caller.call(BY_NAME["ReplayDeliveries"], dry_run=True, **{field: each})
                assert (code, counted.matched) == (grpc.StatusCode.OK, 0)
        assert _without_strangers(full) == before


def test_another_workspace_s_event_types_are_not_there(full: Full) -> None:
    """To look at, to remove or to publish: as of one that never was. One of that name may be put beside it."""
    schema = '{"required": ["mine"]}'
    with _stranger(full) as caller:
        before = all_rows(full.url)
        ways: list[tuple[str, str, dict[str, Any]]] = [
            ("GetEventType", "name", {}),
            ("DeleteEventType", "name", {}),
            ("PublishEvent", "event_type", {"payload_json": "{}"}),
        ]
        for name, field, fields in ways:
            unknown = _answer(caller, BY_NAME[name], field, "custom.never", **fields)
            assert unknown[0] in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
            assert _answer(caller, BY_NAME[name], field, OWN, **fields) == unknown, name
        assert OWN not in str(caller.call(BY_NAME["ListEventTypes"])[2])
        assert all_rows(full.url) == before
        assert caller.call(BY_NAME["PutEventType"], name=OWN, schema=schema)[0] is grpc.StatusCode.OK
        assert caller.call(BY_NAME["GetEventType"], name=OWN)[2].schema == schema
    kept = full.world.client.events.GetEventType(pb.GetEventTypeRequest(name=OWN))
    assert (kept.schema, kept.description) == ("{}", "Very secret.")


def test_no_list_shows_anything_of_another_workspace(full: Full) -> None:
    """Neither its first page nor where another's page token is used; to its own workspace each list shows plenty."""
    theirs = full.all_ids
    with calling(full.world.address, full.world.token) as owner, _stranger(full) as caller:
        for name in LISTS:
            _, _, page = owner.call(BY_NAME[name], page_size=1)
            assert theirs.intersection(_ID.findall(str(page))), name
            assert page.next_page_token, name
            for fields in ({}, {"page_size": 500}, {"page_token": page.next_page_token}):
                code, line, found = caller.call(BY_NAME[name], **fields)
                assert (code, line) == (grpc.StatusCode.OK, "")
                assert str(found) == "", name


def test_a_stranger_s_lists_show_its_own_and_no_more(full: Full) -> None:
    """A page token is a place in time, no key: used by another workspace it shows that one's own things."""
    theirs = full.all_ids
    with calling(full.world.address, full.world.token) as owner, _stranger(full) as caller:
        _, newest = (caller.call(BY_NAME["CreateMeeting"], title="Mine")[2] for _ in range(2))
        _, _, mine = caller.call(BY_NAME["ListMeetings"], page_size=1)
        assert [each.id for each in mine.meetings] == [newest.id]
        _, _, of_owner = owner.call(BY_NAME["ListMeetings"], page_token=mine.next_page_token)
        assert {each.id for each in of_owner.meetings} == set(full.ids["meeting_id"])
        assert not theirs.intersection(_ID.findall(str(mine)))


def test_an_idempotency_key_says_nothing_of_another_workspace(full: Full) -> None:
    """The same key stores an event of its own, whether what is published is the same or not."""
    [theirs] = [each for each in full.world.events() if each.idempotency_key == KEY]
    with _stranger(full) as caller:
        for key, payload in ((KEY, a_payload()), (KEY + " 2", a_payload(title="other"))):
            fields = {"event_type": "meeting.completed", "payload_json": json.dumps(payload), "idempotency_key": key}
            code, line, event = caller.call(BY_NAME["PublishEvent"], **fields)
            assert (code, line) == (grpc.StatusCode.OK, "")
            assert UUID(event.id) != theirs.id
            assert UUID(event.workspace_id) != full.world.workspace_id
    with _stranger(full) as caller:
        other = json.dumps(a_payload(title="other"))
        fields = {"event_type": "meeting.completed", "payload_json": other, "idempotency_key": KEY}
        assert caller.call(BY_NAME["PublishEvent"], **fields)[0] is grpc.StatusCode.OK
        _, _, answer = caller.call(BY_NAME["PublishEvents"], requests=[pb.PublishEventRequest(**fields)])
        assert UUID(answer.results[0].event.workspace_id) != full.world.workspace_id
    assert [each for each in full.world.events() if each.idempotency_key == KEY] == [theirs]
