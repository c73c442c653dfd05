"""WebhookService's replays, over a real channel."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.maintenance.replays import advance_replays
from noteflow_hooks.persistence.memory import MemoryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.builders import NOON, a_delivery, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture
def world() -> Iterator[World]:
    """Offer a server over a store whose clock is a second further each time that it is asked: steps are always due."""
    moments = iter(datetime.now(UTC) + timedelta(seconds=each) for each in range(100_000))
    with World(store=MemoryStore(now=lambda: next(moments))) as running:
        yield running


def _replay(world: World, **fields: Any) -> pb.Replay:
    return world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(**fields))


def _get(world: World, replay_id: str) -> pb.Replay:
    return world.client.webhooks.GetReplay(pb.GetReplayRequest(replay_id=replay_id))


def _cancel(world: World, replay_id: str) -> pb.Replay:
    return world.client.webhooks.CancelReplay(pb.CancelReplayRequest(replay_id=replay_id))


def _dead(world: World, webhook_id: str, count: int = 1, **fields: Any) -> list[str]:
    """Store so many deliveries that are dead."""
    made = []
    with world.units() as unit:
        for _ in range(count):
            event = unit.events.append(an_event(workspace_id=world.workspace_id))
            given = {"status": DeliveryStatus.DEAD, "next_attempt_at": None, "attempt_count": 3} | fields
            delivery = a_delivery(webhook_id=UUID(webhook_id), event_id=event.id, **given)
            made.append(str(unit.webhooks.add_delivery(delivery).id))
        unit.commit()
    return made


def _delivery(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def test_a_replay_runs_until_it_is_done(world: World) -> None:
    """Its answer comes at once, with what it is about; the workers' steps move it on."""
    webhook = world.a_webhook()
    made = _dead(world, webhook.id, 3)
    replay = _replay(world, webhook_id=webhook.id, rate_per_s=50)
    assert (replay.state, replay.matched, replay.sent, replay.rate_per_s) == ("running", 3, 0, 50)
    assert (replay.webhook_id, replay.workspace_id) == (webhook.id, str(world.workspace_id))
    assert not replay.HasField("status")
    assert replay.created_before == replay.created_at
    assert advance_replays(world.units) == 3
    done = _get(world, replay.id)
    assert (done.state, done.matched, done.sent, done.HasField("finished_at")) == ("done", 3, 3, True)
    for delivery_id in made:
        delivery = _delivery(world, delivery_id)
        (again,) = delivery.redeliveries
        assert (delivery.status, again.replay_id) == ("pending", replay.id)
        assert (again.previous_status, again.after_attempt) == ("dead", 3)
        assert again.HasField("requested_at")


def test_a_dry_run_only_counts(world: World) -> None:
    """It has neither an id nor a beginning, and nothing is stored."""
    webhook = world.a_webhook()
    _dead(world, webhook.id, 2)
    counted = _replay(world, dry_run=True, event_type="meeting.completed", status="dead")
    assert (counted.id, counted.state, counted.matched, counted.rate_per_s) == ("", "dry_run", 2, 100)
    assert (counted.event_type, counted.status) == ("meeting.completed", "dead")
    assert not counted.HasField("created_at")
    assert not world.client.webhooks.ListReplays(pb.ListReplaysRequest()).replays
    assert advance_replays(world.units) == 0


def test_a_cancelled_replay_goes_no_further(world: World) -> None:
    """Once it has ended, it can't be cancelled."""
    _dead(world, world.a_webhook().id, 2)
    replay = _replay(world)
    cancelled = _cancel(world, replay.id)
    assert (cancelled.state, cancelled.sent) == ("cancelled", 0)
    assert advance_replays(world.units) == 0
    with refused(WRONG_MOMENT, "is cancelled", "running"):
        _cancel(world, replay.id)


def test_replays_are_listed_in_pages_newest_first(world: World) -> None:
    """Following the tokens shows each once."""
    made = [_replay(world).id for _ in range(5)]
    seen, token = [], ""
    for _ in range(3):
        page = world.client.webhooks.ListReplays(pb.ListReplaysRequest(page_size=2, page_token=token))
        seen += [replay.id for replay in page.replays]
        token = page.next_page_token
    assert (seen, token) == (made[::-1], "")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"webhook_id": "x"}, "webhook_id: must be a UUID"),
        ({"status": "pending"}, "status: 'pending' is not allowed here; allowed: dead, skipped, succeeded"),
        ({"status": "sending"}, "status: 'sending' is not allowed here; allowed: dead, skipped, succeeded"),
        ({"status": "lost"}, "status: 'lost' is not allowed here; allowed: dead, skipped, succeeded"),
        ({"event_type": "meeting.started"}, "event_type: "),
        ({"rate_per_s": 0.05}, "rate_per_s: is 0.05; allowed are 0.1 to 10000"),
        ({"rate_per_s": 10_001}, "rate_per_s: is 10001; allowed are 0.1 to 10000"),
        ({"rate_per_s": float("nan")}, "rate_per_s: is nan; allowed"),
        ({"created_after": Timestamp(seconds=10**15)}, "created_after: must be a time"),
        (
            {"created_after": _timestamp(NOON), "created_before": _timestamp(NOON)},
            "created_after: must be before created_before",
        ),
    ],
    ids=["id", "pending", "sending", "status", "type", "slow", "fast", "nan", "time", "empty"],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_can_not_be_replayed_is_refused_by_name(
    world: World,
    fields: dict[str, Any],
    says: str,
    dry_run: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """With what is allowed; a dry run tells the same."""
    with refused(INVALID, says):
        _replay(world, dry_run=dry_run, **fields)


def test_an_endpoint_must_be_there_and_enabled(world: World) -> None:
    """Nothing is sent to one that is disabled, so that its backlog would only be passed over."""
    deleted, disabled = world.a_webhook(), world.a_webhook(enabled=False)
    world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=deleted.id))
    for webhook_id in (deleted.id, str(uuid4())):
        with refused(NOT_FOUND, f"webhook_id: no webhook {webhook_id}"):
            _replay(world, webhook_id=webhook_id)
    with refused(WRONG_MOMENT, "is disabled; enable it"):
        _replay(world, webhook_id=disabled.id)


def test_the_eleventh_replay_is_refused_with_the_limit(world: World) -> None:
    """And begins once another one has ended."""
    running = [_replay(world).id for _ in range(10)]
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "10 replays run", "at most 10"):
        _replay(world)
    assert _replay(world, dry_run=True).state == "dry_run"
    _cancel(world, running[0])
    assert _replay(world).state == "running"


def test_a_replay_that_is_not_there_is_not_found(world: World) -> None:
    """And a malformed id is the caller's mistake."""
    for call in (_get, _cancel):
        with refused(NOT_FOUND, "replay_id"):
            call(world, str(uuid4()))
        with refused(INVALID, "replay_id: "):
            call(world, "x")


def test_another_workspace_s_replays_are_not_found(world: World) -> None:
    """Neither listed nor shown nor ended; its endpoints and deliveries are out of reach."""
    webhook = world.a_webhook()
    _dead(world, webhook.id)
    replay = _replay(world)
    with world.stranger() as stranger:
        hooks = stranger.webhooks
        assert not hooks.ListReplays(pb.ListReplaysRequest()).replays
        with refused(NOT_FOUND):
            hooks.GetReplay(pb.GetReplayRequest(replay_id=replay.id))
        with refused(NOT_FOUND):
            hooks.CancelReplay(pb.CancelReplayRequest(replay_id=replay.id))
        with refused(NOT_FOUND):
            hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook.id))
        assert hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True)).matched == 0
    assert _get(world, replay.id).state == "running"


def test_replays_are_switched_off_with_webhooks() -> None:
    """The answer names the setting."""
    with World(webhooks=False) as world:
        hooks = world.client.webhooks
        for call in (
            lambda: hooks.ReplayDeliveries(pb.ReplayDeliveriesRequest()),
            lambda: hooks.GetReplay(pb.GetReplayRequest()),
            lambda: hooks.ListReplays(pb.ListReplaysRequest()),
            lambda: hooks.CancelReplay(pb.CancelReplayRequest()),
            lambda: hooks.ListUndelivered(pb.ListUndeliveredRequest()),
        ):
            with refused(WRONG_MOMENT, "NOTEFLOW_HOOKS_WEBHOOKS_ENABLED"):
                call()
