"""An endpoint's options over gRPC and on the command line: set, read, changed, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.options import NO_OPTIONS, OPTION_FIELDS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

#: None of them needs anything else to be there.
CHOSEN: dict[str, Any] = {
    "format": "standard",
    "batch_max": 100,
    "batch_wait_ms": 60_000,
    "batch_partial": True,
    "ordering": "per_meeting",
    "on_dead": "stop",
    "send_traceparent": True,
}


def shown(webhook: pb.Webhook) -> dict[str, Any]:
    """Return the options as a caller sees them."""
    return {name: getattr(webhook, name) for name in OPTION_FIELDS}


def test_an_endpoint_has_no_options_unless_it_is_given_some(world: World) -> None:
    """What is not named is off."""
    assert shown(world.a_webhook()) == {name: getattr(NO_OPTIONS, name) for name in OPTION_FIELDS}


def test_options_are_given_at_registration_and_read_back(world: World) -> None:
    """Each as it was given."""
    made = world.a_webhook(**CHOSEN)
    assert shown(made) == {"filter": "", **CHOSEN}
    assert shown(world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=made.id))) == shown(made)


def test_options_are_changed_and_taken_away_one_by_one(world: World) -> None:
    """The rest stays; the default value takes an option away."""
    made = world.a_webhook()
    for name, value in CHOSEN.items():
        request = pb.UpdateWebhookRequest(webhook_id=made.id, update_mask=FieldMask(paths=[name]), **{name: value})
        assert shown(world.client.webhooks.UpdateWebhook(request)) == shown(made) | {name: value}
        before = pb.UpdateWebhookRequest(
            webhook_id=made.id, update_mask=FieldMask(paths=[name]), **{name: getattr(made, name)}
        )
        assert shown(world.client.webhooks.UpdateWebhook(before)) == shown(made)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"format": "xml"}, "format: is 'xml'; allowed are noteflow, standard, cloudevents, cloudevents-binary, slack"),
        ({"batch_max": 1}, "batch_max: is 1; allowed are 0 for no batches, or 2 to 100"),
        ({"batch_max": 101}, "batch_max: is 101; allowed are 0 for no batches, or 2 to 100"),
        ({"batch_wait_ms": 60_001}, "batch_wait_ms: is 60001; allowed are 0 to 60,000"),
        ({"batch_wait_ms": -1}, "batch_wait_ms: is -1; allowed are 0 to 60,000"),
        ({"ordering": "fifo"}, "ordering: is 'fifo'; allowed are none, per_meeting"),
        ({"on_dead": "wait"}, "on_dead: is 'wait'; allowed are skip, stop"),
        ({"filter": "x" * 1025}, "filter: has 1025 characters; allowed are at most 1,024"),
        (
            {"batch_max": 10, "format": "cloudevents-binary"},
            "batch_max: must be 0 with format cloudevents-binary; batches are for noteflow, standard, cloudevents",
        ),
    ],
    ids=str,
)
def test_an_option_is_refused_with_its_name_and_what_is_allowed(
    world: World, options: dict[str, Any], line: str
) -> None:
    """At registration and at a change, and nothing of it is stored."""
    with pytest.raises(grpc.RpcError) as registered:
        world.a_webhook(**options)
    made = world.a_webhook()
    with pytest.raises(grpc.RpcError) as changed:
        world.client.webhooks.UpdateWebhook(
            pb.UpdateWebhookRequest(webhook_id=made.id, update_mask=FieldMask(paths=list(options)), **options)
        )
    for caught in (registered, changed):
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert line in (caught.value.details() or "")
    assert shown(world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=made.id))) == shown(made)


def test_one_option_is_held_against_those_that_are_stored(world: World) -> None:
    """Batches don't fit every format, in whichever order they are asked for."""
    batched = world.a_webhook(batch_max=10)
    binary = world.a_webhook(format="cloudevents-binary")
    changes: list[tuple[str, str, dict[str, Any]]] = [
        (batched.id, "format", {"format": "cloudevents-binary"}),
        (binary.id, "batch_max", {"batch_max": 10}),
    ]
    for webhook_id, name, change in changes:
        request = pb.UpdateWebhookRequest(webhook_id=webhook_id, update_mask=FieldMask(paths=[name]), **change)
        with pytest.raises(grpc.RpcError) as caught:
            world.client.webhooks.UpdateWebhook(request)
        assert "batch_max: must be 0 with format cloudevents-binary" in (caught.value.details() or "")
