"""`stats`, and GetStats: figures for people and for programs."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore, InMemoryStatsKeeper
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.known import a_skipped_delivery
from tests.integration.rpc.world import World
from tests.support.builders import EXACT, a_failure, a_payload

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A server over a store in memory, in which one delivery is dead and one skipped, and both are counted."""
    with World() as running:
        webhook = running.a_webhook(name="CRM", max_retries=1)
        _die(running)
        a_skipped_delivery(running, webhook)
        InMemoryStatsKeeper(running.store).roll_up()
        yield running


def _die(world: World) -> None:
    """Have the delivery of an event fail for good."""
    published = pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(a_payload()))
    event_id = UUID(world.client.events.PublishEvent(published).id)
    deliveries = InMemoryDeliveryStore(world.store)
    deliveries.dispatch([event_id], limit=9)
    [claim] = deliveries.claim([], limit=9, lease_slack=timedelta(seconds=9))
    result = a_failure(started_at=datetime.now(UTC))
    after, _ = claim.delivery.attempted(result, max_retries=1, policy=EXACT, draw=0.5)
    deliveries.settle([Settlement(after, attempt=result)])


@pytest.fixture
def called(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same server, which the environment names."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}SERVER", world.address)
    monkeypatch.setenv(f"{PREFIX}TOKEN", world.token)
    return world


@pytest.mark.usefixtures("called")
def test_people_see_what_happened_and_how_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each figure, a table by type, and one in time; ``none`` stands for no reason."""
    assert run(root, ["stats", "--since", "2h", "--bucket", "1h"]) == 0
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if len(line.split()) > 1}
    assert lines["failures"] == ["1", "status"]
    assert lines["skipped"] == ["1", "none"]
    assert "meeting.completed" in lines
    assert text.count(":00:00Z") >= 3


@pytest.mark.usefixtures("called")
def test_programs_get_one_object_with_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those by kind, which are objects."""
    assert run(root, ["stats", "--webhook", "CRM", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["total"]["attempts"], found["total"]["failures"]) == (1, {"status": 1})
    assert found["now"]["dead"] == {"status": 1}
    assert found["buckets"] == []


@pytest.mark.usefixtures("called")
@pytest.mark.parametrize("bucket", ["0s", "1x", "", "-5m", "99999999999d"])
def test_what_is_no_length_is_refused(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the option's name, before anything is asked."""
    assert run(root, ["stats", "--bucket", bucket]) == 2
    assert "--bucket" in capsys.readouterr().err


def _moment(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@pytest.mark.parametrize(
    ("days", "bucket", "field", "told"),
    [
        (1, timedelta(minutes=1), "bucket", "at most 1000"),
        (45, timedelta(hours=1), "bucket", "gives 1081 points"),
        (3, timedelta(minutes=30), "bucket", "full hours"),
        (1, timedelta(seconds=90), "bucket", "full minutes"),
        (1, timedelta(0), "bucket", "full minutes"),
        (-1, None, "from", "before to"),
    ],
)
def test_what_can_not_be_answered_is_refused(
    world: World, days: float, bucket: timedelta | None, field: str, told: str
) -> None:
    """Points beyond the limit, minutes that are not kept, spans that end before they begin: with the field's name."""
    request = pb.GetStatsRequest()
    getattr(request, "from").FromDatetime(_moment(days))
    request.to.FromDatetime(_moment(0))
    if bucket is not None:
        request.bucket.FromTimedelta(bucket)
    with pytest.raises(grpc.RpcError) as refused:
        world.client.webhooks.GetStats(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(refused.value)
    assert told in str(refused.value)


def test_each_endpoint_is_told_of_by_itself(world: World) -> None:
    """In the order that was asked for, without those that there are none of, and with what they did last."""
    [webhook] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    stranger = "01234567-89ab-cdef-0123-456789abcdef"
    found = world.client.webhooks.GetStats(pb.GetStatsRequest(webhook_ids=[stranger, webhook.id, webhook.id]))
    [own] = found.endpoints
    assert (own.webhook_id, own.counts.attempts, own.waiting) == (webhook.id, 1, 0)
    assert own.HasField("last_failure_at")
    assert not own.HasField("last_success_at")
    assert found.HasField("as_of")
    with pytest.raises(grpc.RpcError) as refused:
        world.client.webhooks.GetStats(pb.GetStatsRequest(webhook_ids=[webhook.id] * 501))
    assert "webhook_ids" in str(refused.value)
    by_hour = pb.GetStatsRequest(webhook_ids=[webhook.id] * 41, with_endpoint_buckets=True)
    by_hour.bucket.FromTimedelta(timedelta(hours=1))
    with pytest.raises(grpc.RpcError) as refused:
        world.client.webhooks.GetStats(by_hour)
    assert "gives 1050 points" in str(refused.value)
    del by_hour.webhook_ids[1:]
    [own] = world.client.webhooks.GetStats(by_hour).endpoints
    assert sum(each.counts.attempts for each in own.buckets) == own.counts.attempts == 1
