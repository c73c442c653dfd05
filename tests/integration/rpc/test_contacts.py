"""An endpoint's contact over gRPC: named, shown, confirmed by its code, and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import code_of
from tests.integration.rpc.world import refused
from tests.support.contacts import ADDRESS

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def confirm(world: World, webhook: pb.Webhook, code: str) -> pb.Webhook:
    return world.client.webhooks.ConfirmContact(pb.ConfirmContactRequest(webhook_id=webhook.id, code=code))


def test_a_contact_waits_for_its_code_and_is_confirmed_by_it(world: World) -> None:
    """And is shown so, in lists too."""
    webhook = world.a_webhook(contact=ADDRESS, digest="weekly")
    assert (webhook.contact, webhook.digest, webhook.HasField("contact_confirmed_at")) == (ADDRESS, "weekly", False)
    with refused(INVALID, "code: "):
        confirm(world, webhook, "AAAA-AAAA-AAAA")
    assert confirm(world, webhook, code_of(world, webhook.id).lower()).HasField("contact_confirmed_at")
    [listed] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    assert listed.HasField("contact_confirmed_at")


def test_a_contact_is_taken_away_by_an_empty_one(world: World) -> None:
    """Then there is nothing to confirm; an endpoint has none by itself."""
    webhook = world.a_webhook(contact=ADDRESS, digest="weekly")
    mask = FieldMask(paths=["contact"])
    after = world.client.webhooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=mask))
    assert (after.HasField("contact"), after.digest) == (False, "none")
    with refused(PRECONDITION, "no contact"):
        confirm(world, webhook, "AAAA")
    with refused(grpc.StatusCode.NOT_FOUND, "no webhook"):
        confirm(world, pb.Webhook(id=str(uuid4())), "AAAA")
    assert not world.a_webhook().HasField("contact")


@pytest.mark.parametrize(
    ("field", "value"), [("contact", "nobody"), ("contact", "a@b.example\nBcc: c"), ("digest", "daily")]
)
def test_what_is_none_is_refused_at_once_by_registration_and_change(world: World, field: str, value: str) -> None:
    """Naming the field."""
    webhook = world.a_webhook()
    with refused(INVALID, f"{field}: "):
        world.a_webhook(**{field: value})
    with refused(INVALID, f"{field}: "):
        request = pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=FieldMask(paths=[field]))
        setattr(request, field, value)
        world.client.webhooks.UpdateWebhook(request)
