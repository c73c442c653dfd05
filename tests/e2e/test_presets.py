"""Slack, Discord and Teams, as stubs made from their documentation: real workers post to them over TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.events import SUBSCRIBABLE
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.chats.api import ChatApis
from tests.support.chats.discord import read_discord
from tests.support.chats.slack import read_slack
from tests.support.chats.teams import read_teams
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.chats.api import Channel
    from tests.support.chats.shown import Shown
    from tests.support.system_rig import SystemRig

READERS: Final[dict[Format, Callable[[bytes], Shown]]] = {
    Format.SLACK: read_slack,
    Format.DISCORD: read_discord,
    Format.TEAMS: read_teams,
}
PATHS: Final = {
    Format.SLACK: "/services/T0/B0/{}",
    Format.DISCORD: "/api/webhooks/1122334455/{}",
    Format.TEAMS: "/workflows/{}/triggers/manual/paths/invoke",
}
#: What each type's message says beside its heading.
TITLE: Final = "Weekly <!channel> @everyone [x](http://evil)"
GONE: Final = {Format.SLACK: "no_service", Format.DISCORD: "Unknown Webhook", Format.TEAMS: "it was deleted"}


@pytest.fixture(scope="module")
def chats() -> Iterator[ChatApis]:
    with ChatApis() as running:
        yield running


def join(rig: SystemRig, chats: ChatApis, form: Format, **fields: Any) -> tuple[pb.Webhook, Channel]:  # noqa: ANN401 - a registration's
    """Make a channel and register its endpoint."""
    state = {name: fields.pop(name) for name in ("too_many", "gone", "is_connector") if name in fields}
    channel = chats.channel(form, PATHS[form].format(uuid4().hex), **state)
    own: dict[str, Any] = {"url": chats.url(f"{channel.path}?sig=canary"), "format": form, "generate_secret": False}
    return rig.webhook(**(own | fields)), channel


def publish(rig: SystemRig, workspace_id: str, event_type: str) -> None:
    """Commit an event of whatever type, the system's own too; the relay finds it."""
    payload = {**_CUSTOM} if event_type.startswith("custom.") else CATALOGUE[event_type].example(1)
    if "title" in payload:
        payload["title"] = TITLE
    rig.database.execute(
        "INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at)"
        " VALUES (%s, %s, %s, now())",
        [workspace_id, event_type, json.dumps(payload)],
    )


_CUSTOM: Final = {"event": "custom.deal.won", "title": "x", "deal": {"name": "<@U1>", "tags": ["@here"]}}


def test_every_type_comes_as_a_message_that_the_vendor_takes(rig: SystemRig, chats: ChatApis) -> None:
    """To each vendor: none refuses one, nothing in it is live, and no header of ours goes along."""
    rig.client.events.PutEventType(
        pb.PutEventTypeRequest(name="custom.deal.won", schema='{"type": "object"}', description="Won")
    )
    joined = {
        (form, each): join(rig, chats, form, events=[each])
        for form in PRESETS
        for each in (*SUBSCRIBABLE, "custom.deal.won")
    }
    [workspace_id] = {webhook.workspace_id for webhook, _ in joined.values()}
    for each in (*SUBSCRIBABLE, "custom.deal.won"):
        publish(rig, workspace_id, each)
    for (form, event_type), (webhook, channel) in joined.items():
        [delivery] = rig.settled(webhook, "succeeded")
        assert delivery.attempt_count == 1
        assert (channel.refusals, channel.slowed, len(channel.messages)) == ([], 0, 1), (form, event_type)
        shown = READERS[form](channel.messages[0])
        assert shown.live == []
        if "title" in json.loads(delivery.payload):
            assert any(text in (TITLE, "x") for text in shown.texts)


@pytest.mark.parametrize("form", PRESETS)
def test_a_test_is_a_message_too(rig: SystemRig, chats: ChatApis, form: Format) -> None:
    """Whatever the endpoint subscribes to; it passes the vendor's rate by."""
    webhook, channel = join(rig, chats, form, events=[])
    answer = rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=20))
    assert answer.delivery.status == "succeeded"
    assert "Test" in READERS[form](channel.messages[0]).texts


def test_each_vendor_s_own_pace_is_kept(rig: SystemRig, chats: ChatApis) -> None:
    """Endpoints that name no rate: none is ever told that it sends too much, whatever comes at once."""
    joined = [join(rig, chats, form) for form in PRESETS]
    for _ in range(4):
        rig.publish()
    for webhook, channel in joined:
        rig.settled(webhook, "succeeded", count=4)
        assert (channel.slowed, len(channel.messages)) == (0, 4), channel.form


@pytest.mark.parametrize("form", PRESETS)
def test_too_many_is_tried_again_after_the_wait_that_the_vendor_names(
    rig: SystemRig, chats: ChatApis, form: Format
) -> None:
    """In its own words; the next attempt sends the same bytes."""
    webhook, channel = join(rig, chats, form, too_many=1)
    rig.publish()
    [delivery] = rig.settled(webhook, "succeeded")
    slowed, taken = delivery.attempts
    assert (slowed.status_code, slowed.error_kind, channel.slowed) == (429, "status", 1)
    waited = taken.started_at.ToMicroseconds() - slowed.started_at.ToMicroseconds()
    assert waited >= (300_000 if form is Format.DISCORD else 1_000_000)
    first, second = (each.body for each in chats.requests if each.path == channel.path)
    assert first == second


def test_an_old_connector_of_teams_says_too_many_in_a_200(rig: SystemRig, chats: ChatApis) -> None:
    """That is no success: the attempt has Teams' own status, and the next one waits for its window."""
    webhook, channel = join(rig, chats, Format.TEAMS, is_connector=True, too_many=1)
    rig.publish()
    until(lambda: channel.slowed, what="the connector's answer")
    until(lambda: [each.attempt_count for each in rig.deliveries(webhook)] == [1], what="the attempt is on record")
    [delivery] = rig.deliveries(webhook)
    [attempt] = delivery.attempts
    assert (delivery.status, attempt.status_code, attempt.error_message) == ("pending", 429, "HTTP 429")
    assert "Microsoft Teams endpoint returned HTTP error 429" in attempt.response_body
    wait_s = delivery.next_attempt_at.ToSeconds() - attempt.started_at.ToSeconds()
    assert wait_s >= 29


@pytest.mark.parametrize("form", PRESETS)
def test_gone_disables_the_endpoint_at_once(rig: SystemRig, chats: ChatApis, form: Format) -> None:
    """In the vendor's words, whatever status it has for that; the trail and the others are told, and no URL with it."""
    watching = rig.webhook(f"/{uuid4().hex}", events=["webhook.disabled"])
    webhook, channel = join(rig, chats, form, gone=GONE[form])
    rig.publish()
    [delivery] = rig.settled(webhook, "dead")
    assert (delivery.attempt_count, delivery.status_code) == (1, 404)
    until(lambda: not _read(rig, webhook).enabled, what="the endpoint is disabled")
    reason = _read(rig, webhook).disabled_reason
    assert reason.startswith("The endpoint answered 410 Gone, in its vendor's words 404 ")
    [told] = rig.settled(watching, "succeeded")
    trail = rig.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(action="webhook.gone"))
    assert [each.target_id for each in trail.audit_entries] == [webhook.id]
    rig.publish()
    [skipped] = rig.settled(webhook, "skipped")[:1]
    assert skipped.skip_reason == "gone"
    for said in (reason, told.payload, str(trail), str(delivery), str(_read(rig, webhook))):
        assert channel.path.rpartition("/")[2] not in said
        assert "canary" not in said


def test_a_url_that_no_key_decrypts_sends_nothing(rig: SystemRig, chats: ChatApis) -> None:
    """And says so, until a new one is given."""
    webhook, channel = join(rig, chats, Format.SLACK, max_retries=1)
    rig.database.execute(
        "UPDATE noteflow.webhook_configs SET url_ciphertext = overlay(url_ciphertext placing %s from 20) WHERE id = %s",
        [b"damaged", webhook.id],
    )
    rig.publish()
    [delivery] = rig.settled(webhook, "dead")
    assert delivery.attempts[0].error_kind == "secret_unavailable"
    assert delivery.attempts[0].error_message == "No key decrypts the webhook's URL"
    assert _read(rig, webhook).secret_unavailable
    assert not [each for each in chats.requests if each.path == channel.path]
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, url=chats.url(channel.path))
    request.update_mask.paths.append("url")
    assert not rig.client.webhooks.UpdateWebhook(request).secret_unavailable
    rig.publish()
    rig.settled(webhook, "succeeded")


def _read(rig: SystemRig, webhook: pb.Webhook) -> pb.Webhook:
    return rig.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id))
