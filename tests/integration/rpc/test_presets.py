"""Endpoints of chats at the edge: their URLs come in, and never out again."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World
from tests.support.builders import PRESET_URLS, a_payload, a_webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A piece of each URL that stands nowhere else.
CANARIES: Final = ("CANARY", "xoxcanary", "canary-discord-token", "canary-teams-signature", "0a1b2ccanary3d4e5f")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def register(world: World, form: Format, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    request = pb.RegisterWebhookRequest(
        **{"url": PRESET_URLS.get(form, "https://receiver.example/"), "format": form, **fields}
    )
    return world.client.webhooks.RegisterWebhook(request)


def update(world: World, webhook: pb.Webhook, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **fields)
    request.update_mask.paths.extend(fields)
    return world.client.webhooks.UpdateWebhook(request)


def violations(call: Callable[[], object]) -> dict[str, str]:
    """Return what is refused, by field; nothing of it repeats a URL."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert_masked(str(error))
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    for each in status.details:
        found = error_details_pb2.BadRequest()
        if each.Unpack(found):
            return {violation.field: violation.description for violation in found.field_violations}
    raise AssertionError("no violations")


def assert_masked(said: object) -> None:
    for canary in CANARIES:
        assert canary not in str(said)


@pytest.mark.parametrize("form", PRESETS)
def test_every_answer_masks_the_url(world: World, form: Format, caplog: pytest.LogCaptureFixture) -> None:
    """To a token with all scopes; of registration, look-ups, lists, changes, tests, the trail, and what is logged."""
    caplog.set_level(logging.DEBUG)
    made = register(world, form, request_id="once")
    again = register(world, form, request_id="once")
    client = world.client
    tested = client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=made.id))
    answers = [
        made,
        again,
        client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=made.id)),
        *client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks,
        update(world, made, name="renamed", url=PRESET_URLS[form]),
        update(world, made, paused=True),
    ]
    assert {each.url for each in answers} == {f"https://{PRESET_URLS[form].split('/')[2]}/…"}
    assert {each.format for each in answers} == {form}
    assert not any(each.secret or each.signed or each.secret_unavailable for each in answers)
    client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id))
    trail = client.audit.ListAuditEntries(pb.ListAuditEntriesRequest())
    event = client.events.GetEvent(pb.GetEventRequest(event_id=tested.event_id))
    assert_masked((answers, tested, trail, event, caplog.text))
    assert any(f"https://{PRESET_URLS[form].split('/')[2]}/…" in each.new for each in trail.audit_entries)


def test_a_refusal_names_the_field_and_what_is_allowed(world: World) -> None:
    """All that is wrong at once, and never what was given."""
    wrong = violations(
        lambda: register(
            world,
            Format.SLACK,
            url=PRESET_URLS[Format.DISCORD],
            secret="a-first-secret-of-24-characters",
            headers=[pb.Header(name="X-Key", value="v")],
            signing="both",
            batch_max=5,
        )
    )
    assert set(wrong) == {"url", "secret", "headers", "signing", "batch_max"}
    assert "hooks.slack.com" in wrong["url"]
    assert "must be hmac" in wrong["signing"]
    assert set(violations(lambda: register(world, Format.TEAMS, batch_max=5))) == {"batch_max"}


def test_an_endpoint_that_can_not_become_a_preset_is_told_all_that_is_in_the_way(world: World) -> None:
    """What it has, as well as what is named in the same call; and a preset gets no batches later."""
    plain = register(world, Format.STANDARD, url="https://receiver.example/hooks", batch_max=5, generate_secret=True)
    wrong = violations(lambda: update(world, plain, format="slack", signing="both"))
    assert set(wrong) == {"url", "secret", "signing", "batch_max"}
    assert wrong["batch_max"] == "must be 0 with format slack; batches are for noteflow, standard, cloudevents"
    made = register(world, Format.SLACK)
    assert set(violations(lambda: update(world, made, batch_max=2))) == {"batch_max"}


def test_a_url_that_ends_in_the_mask_is_refused(world: World) -> None:
    """What an answer has shown can't be given back."""
    made = register(world, Format.TEAMS)
    assert "give the whole one" in violations(lambda: update(world, made, url=made.url))["url"]
    assert "give the whole one" in violations(lambda: register(world, Format.SLACK, url=made.url))["url"]


def test_leaving_a_preset_needs_another_url(world: World) -> None:
    """The stored one would be shown."""
    made = register(world, Format.DISCORD)
    assert "must be given" in violations(lambda: update(world, made, format="noteflow"))["url"]
    left = update(world, made, format="noteflow", url="https://receiver.example/hooks")
    assert (left.url, left.format) == ("https://receiver.example/hooks", "noteflow")


def test_a_preset_s_secret_is_not_rotated(world: World) -> None:
    """Nothing would be signed with it."""
    made = register(world, Format.SLACK)
    with pytest.raises(grpc.RpcError) as caught:
        world.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=made.id))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("form", PRESETS)
def test_a_preview_shows_the_message_and_nothing_of_the_url(world: World, form: Format) -> None:
    """With the headers that the vendor gets, none of ours among them."""
    made = register(world, form)
    payload = json.dumps(a_payload(title="Weekly <!channel>"))
    event = world.client.events.PublishEvent(
        pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
    )
    for how in ({"webhook_id": made.id}, {"format": form}):
        shown = world.client.webhooks.PreviewPayload(pb.PreviewPayloadRequest(event_id=event.id, **how))
        assert "Weekly" in shown.body
        assert "<!channel>" not in shown.body
        assert not [each.name for each in shown.headers if each.name.lower().startswith(("x-noteflow", "webhook-"))]
        assert_masked(shown)


def test_a_preset_that_python_code_stores_has_its_url_hidden(world: World) -> None:
    """Also where that code has left it in ``url``."""
    careless = a_webhook(
        workspace_id=world.workspace_id, url=PRESET_URLS[Format.SLACK], options=EndpointOptions(format=Format.SLACK)
    )
    world.service.register_webhook(careless)
    [shown] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    assert shown.url == "https://hooks.slack.com/…"
