"""Filters at the edge: set, changed, refused and shown over gRPC; and what one would have done to stored events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.filters import NOT_MATCHED, FilterAnswer, Verdict
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.builders import EXACT, a_payload, an_event, hours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRONG: Final = grpc.StatusCode.INVALID_ARGUMENT
LONG: Final = "data.duration_seconds > 60"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def update(world: World, webhook: pb.Webhook, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **fields)
    request.update_mask.paths.extend(fields)
    return world.client.webhooks.UpdateWebhook(request)


def get(world: World, webhook: pb.Webhook) -> pb.Webhook:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id))


def preview(world: World, text: str = LONG, **fields: Any) -> pb.PreviewFilterResponse:  # noqa: ANN401 - the message's own
    return world.client.webhooks.PreviewFilter(pb.PreviewFilterRequest(filter=text, **fields))


def an_event_of(world: World, event_type: str = "meeting.completed", **payload: Any) -> str:  # noqa: ANN401 - fields of a payload
    """Store an event; return its id."""
    text = json.dumps(a_payload(**payload)).encode()
    with world.units() as unit:
        stored = unit.events.append(an_event(workspace_id=world.workspace_id, event_type=event_type, payload=text))
        unit.commit()
    return str(stored.id)


def settle(world: World, verdict: Verdict) -> None:
    """Dispatch what there is, and settle it so."""
    store = InMemoryDeliveryStore(world.store)
    store.dispatch([], limit=100)
    claims = store.claim([], limit=100, lease_slack=hours(1))
    store.settle([each.settlement(verdict, policy=EXACT, draw=lambda: 0.5) for each in claims])


def violations(call: Callable[[], object]) -> dict[str, str]:
    """Return what is refused, by field."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is WRONG
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    for each in status.details:
        found = error_details_pb2.BadRequest()
        if each.Unpack(found):
            return {violation.field: violation.description for violation in found.field_violations}
    raise AssertionError("no violations")


def test_a_filter_is_set_shown_changed_and_taken_away(world: World) -> None:
    """At registration and later; an empty one is none."""
    webhook = world.a_webhook(filter=LONG)
    assert (webhook.filter, get(world, webhook).filter) == (LONG, LONG)
    assert (webhook.filter_errors, webhook.HasField("filter_last_error")) == (0, False)
    assert update(world, webhook, filter="data.has_summary").filter == "data.has_summary"
    assert update(world, webhook, name="Another").filter == "data.has_summary"
    assert update(world, webhook, filter="").filter == ""
    assert get(world, webhook).filter == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data.a >", "is no valid CEL expression: line 1, column 9: "),
        ("1", "is of type int; a filter is of type bool"),
        ("x" * 1025, "has 1025 characters; allowed are at most 1,024"),
        ("data.l.map(x, x) == []", "makes a list by map or filter; allowed are exists, exists_one and all"),
        ("true\x00", "NUL"),
    ],
)
def test_what_is_no_filter_is_refused_with_place_and_reason(world: World, text: str, problem: str) -> None:
    """When it is set, by whichever call, beside what else is wrong; and nothing is changed."""
    found = violations(
        lambda: world.a_webhook(filter=text, timeout_ms=1, on_dead="x", batch_max=2, format="cloudevents-binary")
    )
    assert problem in found["filter"]
    assert set(found) == {"filter", "timeout_ms", "on_dead"}
    found = violations(lambda: world.a_webhook(filter=text, batch_max=2, format="cloudevents-binary"))
    assert set(found) == {"filter", "batch_max"}
    webhook = world.a_webhook(filter=LONG)
    found = violations(lambda: update(world, webhook, filter=text, max_retries=99))
    assert problem in found["filter"]
    assert "max_retries" in found
    assert problem in violations(lambda: preview(world, text, last_n=101))["filter"]
    assert get(world, webhook).filter == LONG


def test_a_server_without_the_extra_says_what_to_install() -> None:
    """Endpoints without a filter it registers as ever."""
    with World(endpoints=EndpointRules()) as world:
        webhook = world.a_webhook()
        for call in (
            lambda: world.a_webhook(filter=LONG),
            lambda: update(world, webhook, filter=LONG),
            lambda: preview(world),
        ):
            with refused(grpc.StatusCode.FAILED_PRECONDITION, "pip install 'noteflow-hooks[filters]'"):
                call()
        assert update(world, webhook, filter="").filter == ""


def test_what_a_filter_failed_on_shows_on_the_endpoint(world: World) -> None:
    """In lists, too; another filter starts anew, and an endpoint without one has none."""
    webhook = world.a_webhook(filter=LONG)
    for _ in range(3):
        an_event_of(world)
    settle(world, Verdict(FilterAnswer.ERROR, "a field is missing: 'owner'"))
    [listed] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    for shown in (listed, get(world, webhook)):
        assert (shown.filter_errors, shown.filter_last_error) == (3, "a field is missing: 'owner'")
    changed = update(world, webhook, filter="true")
    assert (changed.filter_errors, changed.HasField("filter_last_error")) == (0, False)


def test_a_delivery_that_was_filtered_is_shown_with_its_reason_and_not_undelivered(world: World) -> None:
    """One on which the filter failed is."""
    world.a_webhook(filter=LONG)
    an_event_of(world)
    settle(world, NOT_MATCHED)
    [delivery] = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="skipped")).deliveries
    assert (delivery.skip_reason, delivery.reason) == ("filtered", "The endpoint's filter does not match")
    an_event_of(world)
    settle(world, Verdict(FilterAnswer.ERROR, "why"))
    answer = world.client.webhooks.ListUndelivered(pb.ListUndeliveredRequest(with_total=True))
    assert [each.reason for each in answer.undelivered] == ["The endpoint's filter failed: why"]
    assert answer.total == 1


def test_a_replay_says_whether_it_takes_what_was_filtered(world: World) -> None:
    """Of a status that no filtered one has, that is refused."""
    world.a_webhook(filter=LONG)
    an_event_of(world)
    settle(world, NOT_MATCHED)

    def matched(**fields: Any) -> int:  # noqa: ANN401 - the message's own
        return world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True, **fields)).matched

    assert (matched(), matched(status="skipped"), matched(include_filtered=True)) == (0, 1, 1)
    begun = world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(include_filtered=True))
    read = world.client.webhooks.GetReplay(pb.GetReplayRequest(replay_id=begun.id))
    [listed] = world.client.webhooks.ListReplays(pb.ListReplaysRequest()).replays
    assert begun.include_filtered
    assert read.include_filtered
    assert listed.include_filtered
    with refused(WRONG, "include_filtered: must not be set with status dead"):
        matched(include_filtered=True, status=DeliveryStatus.DEAD)


def test_a_preview_says_what_a_filter_would_have_done(world: World) -> None:
    """Per event, newest first, with the reason of an error, and in all; nothing is made of it."""
    ids = [
        an_event_of(world, duration_seconds=3600.0),
        an_event_of(world, duration_seconds=5.0),
        an_event_of(world, "summary.generated", duration_seconds=5.0),
        an_event_of(world, "webhook.failing"),
    ]
    answer = preview(world, 'type == "summary.generated" ? data.owner == "" : data.duration_seconds > 60')
    found = [(each.event_id, each.event_type, each.verdict) for each in answer.events]
    assert found == [
        (ids[2], "summary.generated", "error"),
        (ids[1], "meeting.completed", "filtered"),
        (ids[0], "meeting.completed", "matched"),
    ]
    assert answer.events[0].reason == "a field is missing: 'owner'; has() tells whether there is one"
    assert (answer.matched, answer.filtered, answer.errors, answer.erased) == (1, 1, 1, 0)
    assert all(each.HasField("created_at") for each in answer.events)


def test_a_preview_is_of_an_endpoint_s_subscription_where_one_is_named(world: World) -> None:
    """As many as asked for, 20 where nobody says."""
    for _ in range(25):
        an_event_of(world)
    own = an_event_of(world, "summary.generated")
    webhook = world.a_webhook(events=["summary.generated", "webhook.failing"])
    assert [each.event_id for each in preview(world, webhook_id=webhook.id).events] == [own]
    assert len(preview(world).events) == 20
    assert len(preview(world, last_n=2).events) == 2
    nothing = world.a_webhook(events=["webhook.failing"])
    assert not preview(world, webhook_id=nothing.id).events


def test_a_preview_says_of_an_erased_payload_that_it_is(world: World) -> None:
    """Nothing can be said of it."""
    an_event_of(world)
    [stored] = world.events()
    world.client.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=str(stored.meeting_id)))
    answer = preview(world)
    assert [each.verdict for each in answer.events] == ["erased"]
    assert (answer.matched, answer.filtered, answer.errors, answer.erased) == (0, 0, 0, 1)


def test_a_preview_is_refused_by_field(world: World) -> None:
    """Of another workspace's endpoint there is none."""
    assert set(violations(lambda: preview(world, "", last_n=0, webhook_id="none"))) == {
        "filter",
        "last_n",
        "webhook_id",
    }
    assert "1 to 100" in violations(lambda: preview(world, last_n=101))["last_n"]
    with refused(WRONG, "webhook_id"):
        preview(world, webhook_id="none")
    with world.stranger() as stranger, refused(grpc.StatusCode.NOT_FOUND, "webhook_id"):
        stranger.webhooks.PreviewFilter(pb.PreviewFilterRequest(filter=LONG, webhook_id=world.a_webhook().id))


def test_the_audit_trail_tells_a_filter_without_its_strings(world: World) -> None:
    """They may repeat what was said in a meeting."""
    webhook = world.a_webhook(filter='data.title == "CANARY"')
    update(world, webhook, filter='data.title.contains("CANARY") // CANARY')
    with world.units() as unit:
        entries = unit.audit.list_page(world.workspace_id, limit=9)
    assert "CANARY" not in repr(entries)
    assert [each.new and each.new.get("filter") for each in entries] == [
        'data.title.contains("…")',
        'data.title == "…"',
    ]
