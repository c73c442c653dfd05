"""Verification over gRPC: who is asked, who is refused, what is shown, and what goes on record."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.verification import verified
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import a_skipped_delivery
from tests.integration.rpc.sqlworld import all_rows
from tests.integration.rpc.world import UNLIMITED, World, eventually, refused
from tests.support.builders import NOON
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

PRECONDITION: Final = grpc.StatusCode.FAILED_PRECONDITION
NEW: Final = "https://new.example/hooks?key=a-secret-part"
ASKED: Final = "webhook.verification"


@pytest.fixture(params=["memory", "postgres"])
def asking(request: pytest.FixtureRequest) -> Iterator[World]:
    """Offer a server that requires verification."""
    if request.param == "memory":
        with World() as running:
            running.service.requires_verification = True
            yield running
        return
    engine = create_engine(request.getfixturevalue("clean_database"), connections=4, wait_s=PATIENCE_S)
    with World(over=partial(SqlAlchemyUnitOfWork, engine, SecretBox([bytes(32)])), limits=UNLIMITED) as running:
        running.service.requires_verification = True
        yield running
    engine.dispose()


def update(world: World, webhook: pb.Webhook, **changes: Any) -> pb.Webhook:  # noqa: ANN401 - a request's fields
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=FieldMask(paths=list(changes)), **changes)
    return world.client.webhooks.UpdateWebhook(request)


def verify(world: World, webhook: pb.Webhook, **fields: Any) -> pb.VerifyWebhookResponse:  # noqa: ANN401 - its fields
    return world.client.webhooks.VerifyWebhook(pb.VerifyWebhookRequest(webhook_id=webhook.id, **fields), timeout=90)


def answer(world: World, webhook: pb.Webhook) -> None:
    """Have the endpoint be verified, as a worker does."""
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook.id), lock=True)
        assert found is not None
        unit.webhooks.update(verified(found, now=NOON))
        unit.commit()


def actions(world: World) -> list[str]:
    with world.units() as unit:
        return [each.action for each in reversed(unit.audit.list_page(world.workspace_id, limit=100))]


def test_without_the_setting_nothing_is_new(world: World) -> None:
    """An endpoint counts as verified since it was registered, a new URL counts at once, and nobody is asked."""
    webhook = world.a_webhook()
    assert webhook.verified_at == webhook.created_at
    assert update(world, webhook, url=NEW).url == NEW
    assert verify(world, webhook).webhook.verified_at == webhook.created_at
    assert (world.event_types(), actions(world)) == ([], ["webhook.registered", "webhook.updated"])


def test_a_new_endpoint_is_asked_in_the_same_transaction(asking: World) -> None:
    """By an event for it alone, without the challenge in it, that is announced after the commit."""
    webhook = asking.a_webhook()
    assert not webhook.HasField("verified_at")
    [event] = asking.events()
    assert (event.event_type, str(event.target_webhook_id)) == (ASKED, webhook.id)
    eventually(lambda: asking.announced == [event.id])
    said = json.loads(event.payload)
    assert (said["webhook_id"], said["challenge"]) == (webhook.id, "[redacted]")
    listed = asking.client.events.ListEvents(pb.ListEventsRequest())
    assert "[redacted]" in str(asking.client.events.GetEvent(pb.GetEventRequest(event_id=listed.events[0].id)))


def test_existing_endpoints_count_as_verified_once_it_is_switched_on(asking: World) -> None:
    """They were never asked, and may be tested."""
    asking.service.requires_verification = False
    webhook = asking.a_webhook()
    asking.service.requires_verification = True
    asking.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
    assert verify(asking, webhook).webhook.verified_at == webhook.created_at
    assert asking.event_types() == ["webhook.test"]


def test_tests_and_redeliveries_are_refused_before_that(asking: World) -> None:
    """With what to do, and a reason for programs."""
    asking.service.requires_verification = False
    earlier = asking.a_webhook()
    delivery_id = a_skipped_delivery(asking, earlier)
    with asking.units() as unit:
        found = unit.webhooks.get_by_id(UUID(earlier.id), lock=True)
        assert found is not None
        unit.webhooks.update(replace(found, verification=replace(found.verification, unverified_since=NOON)))
        unit.commit()
    asking.service.requires_verification = True
    with refused(PRECONDITION, "VerifyWebhook", "then test it"):
        asking.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=earlier.id))
    with refused(PRECONDITION, "webhooks verify", "then send again"):
        asking.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))
    answer(asking, earlier)
    asking.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=earlier.id))
    asking.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))


def test_a_move_shows_where_it_goes_and_where_it_is(asking: World) -> None:
    """The trail has its host alone. It may be tested meanwhile, at the old URL."""
    webhook = asking.a_webhook()
    answer(asking, webhook)
    moving = update(asking, webhook, url=NEW)
    assert (moving.url, moving.pending_url, moving.HasField("verified_at")) == (webhook.url, NEW, True)
    asking.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
    with asking.units() as unit:
        entries = unit.audit.list_page(asking.workspace_id, limit=100)
    [told] = [each for each in entries if each.action == "webhook.updated"]
    assert told.new == {"pending_url": "https://new.example/…"}
    assert update(asking, moving, url=webhook.url).pending_url == ""
    assert asking.event_types().count(ASKED) == 2


def test_asking_again_voids_the_challenge_before(asking: World) -> None:
    """It makes another event, is on record, and says of the endpoint that it waits."""
    webhook = asking.a_webhook()
    answered = verify(asking, webhook, wait_seconds=0.2)
    assert (answered.webhook.id, answered.webhook.HasField("verified_at")) == (webhook.id, False)
    assert not answered.HasField("delivery")
    first, second = asking.events()
    assert answered.event_id in (str(first.id), str(second.id))
    with asking.units() as unit:
        stored = unit.webhooks.get_by_id(UUID(webhook.id))
    assert stored is not None
    assert stored.verification.challenge is not None
    assert str(stored.verification.challenge.event_id) == answered.event_id
    assert actions(asking) == ["webhook.registered", "webhook.asked_to_verify"]


def test_a_disabled_endpoint_is_asked_once_it_is_enabled(asking: World) -> None:
    """Not before, however it is asked for."""
    webhook = asking.a_webhook(enabled=False)
    assert asking.event_types() == []
    with refused(PRECONDITION, "disabled", "enable it"):
        verify(asking, webhook)
    update(asking, webhook, enabled=True)
    assert asking.event_types() == [ASKED]


def test_switched_off_again_verify_lets_it_go(asking: World) -> None:
    """By whoever asked for it, with the move that waited."""
    webhook = asking.a_webhook()
    answer(asking, webhook)
    update(asking, webhook, url=NEW)
    asking.service.requires_verification = False
    answered = verify(asking, webhook)
    assert (answered.webhook.url, answered.webhook.pending_url, answered.event_id) == (NEW, "", "")
    assert actions(asking)[-1] == "webhook.moved"


def test_a_url_that_may_not_be_reached_is_refused_as_ever(asking: World) -> None:
    """At once, and before anything is asked."""
    webhook = asking.a_webhook()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "url"):
        update(asking, webhook, url="https://forbidden.example/")
    with refused(grpc.StatusCode.NOT_FOUND, "webhook_id"):
        verify(asking, pb.Webhook(id=str(UUID(int=7))))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "wait_seconds", "60"):
        verify(asking, webhook, wait_seconds=61)


def test_nobody_sees_a_challenge(asking: World, request: pytest.FixtureRequest) -> None:
    """No answer has it, and no row has it in the clear."""
    webhook = asking.a_webhook()
    with asking.units() as unit:
        stored = unit.webhooks.get_by_id(UUID(webhook.id))
    assert stored is not None
    assert stored.verification.challenge is not None
    text = stored.verification.challenge.text
    asked = verify(asking, webhook)
    shown = f"{webhook}{asked}{asking.client.events.ListEvents(pb.ListEventsRequest())}"
    assert text not in shown
    if "postgres" in request.node.name:
        rows = "\n".join(line for lines in all_rows(request.getfixturevalue("database_url")).values() for line in lines)
        assert text not in rows
        assert webhook.id in rows
