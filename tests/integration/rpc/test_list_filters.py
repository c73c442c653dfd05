"""The filters of lists and replays over gRPC: each alone, together, refused, and shown again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import UNLIMITED, World, refused
from tests.support.builders import a_delivery, an_event
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAD: dict[str, Any] = {"status": DeliveryStatus.DEAD, "attempt_count": 1, "next_attempt_at": None}
LATE = DEAD | {"error_kind": "timeout", "error_message": "Request timed out"}
REFUSED = DEAD | {"error_kind": "status", "status_code": 404, "error_message": "HTTP 404"}
SKIPPED: dict[str, Any] = {
    "status": DeliveryStatus.SKIPPED,
    "skip_reason": SkipReason.DISABLED,
    "next_attempt_at": None,
}


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A server over each of the stores."""
    if request.param == "memory":
        with World(limits=UNLIMITED) as running:
            yield running
        return
    engine = create_engine(request.getfixturevalue("clean_database"), connections=4, wait_s=PATIENCE_S)
    with World(over=partial(SqlAlchemyUnitOfWork, engine, SecretBox([bytes(32)])), limits=UNLIMITED) as running:
        yield running
    engine.dispose()


def stored(world: World, webhook: pb.Webhook, meeting_id: str, **columns: Any) -> pb.Delivery:  # noqa: ANN401 - a delivery's fields
    """Store an event of that meeting and a delivery of it, and return that as a caller sees it."""
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id, meeting_id=meeting_id))
        made = unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook.id), event_id=event.id, **columns))
        unit.commit()
    return world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=str(made.id)))


def listed(world: World, **fields: Any) -> set[str]:  # noqa: ANN401 - the message's own
    """Return the ids of the deliveries that are listed, which are as many as the total says."""
    answer = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(with_total=True, **fields))
    assert answer.total == len(answer.deliveries)
    return {each.id for each in answer.deliveries}


def test_deliveries_are_listed_by_every_filter(world: World) -> None:
    """Alone and together; what the last attempt failed of stands on the delivery."""
    webhook = world.a_webhook()
    late = stored(world, webhook, "m-1", **LATE)
    denied = stored(world, webhook, "m-1", **REFUSED)
    skipped = stored(world, webhook, "m-2", **SKIPPED)
    due, held = (stored(world, webhook, "m-3", held=each) for each in (False, True))
    assert (late.error_kind, denied.error_kind, skipped.HasField("error_kind")) == ("timeout", "status", False)
    for fields, expected in (
        ({"statuses": ["dead", "skipped"]}, [late, denied, skipped]),
        ({"statuses": ["skipped"], "status": "dead"}, [late, denied, skipped]),
        ({"statuses": ["skipped", "succeeded"]}, [skipped]),
        ({"event_id": late.event_id}, [late]),
        ({"meeting_id": "m-1"}, [late, denied]),
        ({"meeting_id": "m-1", "status_code": 404}, [denied]),
        ({"error_kind": "timeout"}, [late]),
        ({"error_kind": "dns"}, []),
        ({"skip_reason": "disabled"}, [skipped]),
        ({"skip_reason": "disabled", "status": "dead"}, []),
        ({"skip_reason": "gone"}, []),
        ({"held": True}, [held]),
        ({"held": False, "status": "pending"}, [due]),
        ({"held": False}, [late, denied, skipped, due]),
        ({"status_code": 500}, []),
        ({"event_id": str(uuid4())}, []),
        ({"event_id": "", "meeting_id": "", "error_kind": ""}, [late, denied, skipped, due, held]),
        ({"status_code": 404, "id_prefix": denied.id}, [denied]),
    ):
        assert listed(world, **fields) == {each.id for each in expected}, fields


def test_a_replay_takes_all_of_them_shows_them_and_puts_them_on_record(world: World) -> None:
    """The audit trail has the filters, too; a dry run counts by them."""
    webhook = world.a_webhook()
    stored(world, webhook, "m-1", **LATE)
    denied = stored(world, webhook, "m-1", **REFUSED)
    fields: dict[str, Any] = {
        "statuses": ["dead", "skipped"],
        "event_id": denied.event_id,
        "meeting_id": "m-1",
        "error_kind": "status",
        "status_code": 404,
        "id_prefix": denied.id,
    }
    hooks = world.client.webhooks
    assert hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, meeting_id="m-1")).matched == 2
    begun = hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(**fields))
    assert begun.matched == 1
    stored(world, webhook, "m-2", **SKIPPED)
    stored(world, webhook, "m-2", **SKIPPED | {"skip_reason": SkipReason.GONE})
    by_reason = pb.ReplayDeliveriesRequest(skip_reason="gone")
    assert [(each.matched, each.skip_reason) for each in map(hooks.ReplayDeliveries, [by_reason])] == [(1, "gone")]
    for shown in (begun, hooks.GetReplay(pb.GetReplayRequest(replay_id=begun.id))):
        assert {name: getattr(shown, name) for name in fields} == fields
    asked = pb.ListAuditEntriesRequest(action="replay.started")
    later, entry = world.client.audit.ListAuditEntries(asked).audit_entries
    assert '"skip_reason":"gone"' in later.new.replace(" ", "")
    for word in (denied.event_id, "m-1", '"status_code":404', '"error_kind":"status"', '"statuses":["dead","skipped"]'):
        assert word in entry.new.replace(" ", "")


def test_the_beginning_of_ids_is_shown_as_it_was_asked_for(world: World) -> None:
    """But for the hyphen that follows in each of them."""
    for prefix, shown in (("0192", "0192"), ("0192f3c1", "0192f3c1-"), ("0192f3c1-8a52-7", "0192f3c1-8a52-7")):
        counted = world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, id_prefix=prefix))
        assert counted.id_prefix == shown


def test_endpoints_are_listed_by_the_state_that_they_show_and_by_text(world: World) -> None:
    """Each of them has one; the path of a URL is never looked at."""
    hooks = world.client.webhooks
    crm = world.a_webhook(name="Sales", url="https://crm.example/s3cret")
    off = world.a_webhook(name="Old", enabled=False)
    made = {each.id: each.state for each in hooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks}
    assert made == {crm.id: "healthy", off.id: "disabled"}
    cases: tuple[tuple[dict[str, Any], list[pb.Webhook]], ...] = (
        ({"state": "disabled"}, [off]),
        ({"state": "paused"}, []),
        ({"text": "SALES"}, [crm]),
        ({"text": "crm.ex"}, [crm]),
        ({"text": "s3cret"}, []),
        ({"state": "healthy", "text": "old"}, []),
        ({"state": "", "text": ""}, [off, crm]),
    )
    for fields, expected in cases:
        answer = hooks.ListWebhooks(pb.ListWebhooksRequest(with_total=True, **fields))
        assert [each.id for each in answer.webhooks] == [each.id for each in expected], fields
        assert answer.total == len(expected)


def test_meetings_are_listed_by_state_title_and_time(world: World) -> None:
    """A period that ends before it begins is refused."""
    weekly, ended = world.a_meeting("Weekly"), world.a_meeting("Budget")
    world.stop_meeting(ended.id)
    for fields, expected in (
        ({"state": "active"}, [weekly]),
        ({"state": "completed", "text": "BUD"}, [ended]),
        ({"text": "week"}, [weekly]),
        ({"created_after": ended.created_at}, [ended]),
        ({"created_before": ended.created_at}, [weekly]),
        ({"created_after": ended.created_at, "text": "week"}, []),
    ):
        answer = world.client.meetings.ListMeetings(pb.ListMeetingsRequest(with_total=True, **fields))
        assert [each.id for each in answer.meetings] == [each.id for each in expected], fields
        assert answer.total == len(expected)
    upside_down: dict[str, Any] = {"created_after": ended.created_at, "created_before": weekly.created_at}
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "created_after"):
        world.client.meetings.ListMeetings(pb.ListMeetingsRequest(**upside_down))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"statuses": ["dead", "gone"]}, ["statuses", "'gone'", "dead, pending, sending, skipped, succeeded"]),
        ({"statuses": ["dead"] * 6}, ["statuses", "has 6 entries"]),
        ({"event_id": "x"}, ["event_id"]),
        ({"meeting_id": "x" * 256}, ["meeting_id", "255"]),
        ({"error_kind": "late"}, ["error_kind", "'late'", "timeout"]),
        ({"status_code": 99}, ["status_code", "is 99", "100 to 599"]),
        ({"status_code": 600}, ["status_code", "is 600"]),
        ({"error_kind": "late", "status_code": 0}, ["error_kind", "status_code"]),
    ],
)
def test_a_filter_that_can_t_be_is_refused_by_name(world: World, fields: dict[str, Any], words: list[str]) -> None:
    """By lists and replays alike, with what is allowed."""
    hooks = world.client.webhooks
    with refused(grpc.StatusCode.INVALID_ARGUMENT, *words):
        hooks.ListDeliveries(pb.ListDeliveriesRequest(**fields))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, words[0]):
        hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, **fields))


def test_what_no_state_and_no_text_can_be_is_refused(world: World) -> None:
    """A replay's beginning of ids and its statuses, too: what is under way is not sent again."""
    hooks, meetings = world.client.webhooks, world.client.meetings
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "state", *EndpointState):
        hooks.ListWebhooks(pb.ListWebhooksRequest(state="well"))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "text"):
        hooks.ListWebhooks(pb.ListWebhooksRequest(text="a\x00"))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "state", "active, completed"):
        meetings.ListMeetings(pb.ListMeetingsRequest(state="healthy"))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "text", "255"):
        meetings.ListMeetings(pb.ListMeetingsRequest(text="a" * 256))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "id_prefix"):
        hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, id_prefix="X"))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "statuses", "dead, skipped, succeeded"):
        hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, statuses=["pending"]))
