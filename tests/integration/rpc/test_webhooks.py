"""WebhookService's endpoints over a real channel: checked the same way when registered and when changed."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.application.endpoints import EndpointRules
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.waiting import until

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


def _stored(world: World, webhook_id: str) -> WebhookConfig:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook_id))
    assert found is not None
    return found


def _get(world: World, webhook_id: str) -> pb.Webhook:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id))


def _update(world: World, webhook_id: str, *paths: str, **fields: Any) -> pb.Webhook:
    return world.client.webhooks.UpdateWebhook(
        pb.UpdateWebhookRequest(webhook_id=webhook_id, update_mask=FieldMask(paths=paths or list(fields)), **fields)
    )


def _rotate(world: World, webhook_id: str, **fields: Any) -> pb.Webhook:
    return world.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook_id, **fields))


def test_an_endpoint_is_registered_with_the_contract_s_defaults(world: World) -> None:
    """And without a secret it is unsigned."""
    made = world.a_webhook(events=["summary.generated", "meeting.completed"])
    assert (made.name, made.enabled, made.timeout_ms, made.max_retries) == ("Webhook", True, 10_000, 3)
    assert list(made.events) == ["meeting.completed", "summary.generated"]
    assert (made.signed, made.secret_hint, made.HasField("secret")) == (False, "", False)
    assert _get(world, made.id) == made


def test_the_server_s_own_defaults_go_to_registrations_that_name_none() -> None:
    """As the settings DEFAULT_TIMEOUT_MS and DEFAULT_MAX_RETRIES say."""
    with World(endpoints=EndpointRules(timeout_ms=2000, max_retries=7)) as world:
        made = world.a_webhook()
        assert (made.timeout_ms, made.max_retries) == (2000, 7)
        named = world.a_webhook(timeout_ms=100, max_retries=1)
        assert (named.timeout_ms, named.max_retries) == (100, 1)


def test_a_secret_is_returned_once(world: World) -> None:
    """Whole by the registration, afterwards its last four characters."""
    made = world.a_webhook(secret=SECRET)
    assert (made.secret, made.secret_hint, made.signed) == (SECRET, SECRET[-4:], True)
    for later in (_get(world, made.id), _update(world, made.id, name="x"), _listed(world)[0]):
        assert not later.HasField("secret")
        assert (later.secret_hint, later.signed) == (SECRET[-4:], True)


def test_a_secret_can_be_made_by_the_server(world: World) -> None:
    """On demand; it is not made where the caller asks for none."""
    made = world.a_webhook(generate_secret=True)
    assert made.secret.startswith("whsec_")
    assert _stored(world, made.id).secret == made.secret
    assert not world.a_webhook(generate_secret=False).signed


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"url": "http://receiver.example/"}, "url", "https://"),
        ({"url": ""}, "url", "https://"),
        ({"url": "https://forbidden.example/"}, "url", "not allowed"),
        ({"events": ["meeting.started"]}, "events", "meeting.completed"),
        ({"events": ["webhook.test"]}, "events", "can't be subscribed to"),
        ({"name": ""}, "name", "empty"),
        ({"name": "a\x00"}, "name", "NUL"),
        ({"secret": ""}, "secret", "8 to 256"),
        ({"secret": "whsec_abc"}, "secret", "24 to 64 bytes"),
        ({"secret": SECRET, "generate_secret": True}, "generate_secret", "secret"),
        ({"timeout_ms": 0}, "timeout_ms", "100 to 30000"),
        ({"max_retries": 21}, "max_retries", "1 to 20"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value),
)
def test_a_bad_registration_is_refused_by_field(world: World, fields: dict[str, Any], field: str, word: str) -> None:
    """With what is allowed, and without repeating a secret."""
    with refused(INVALID, f"{field}: ", word):
        world.a_webhook(**fields)
    assert not _listed(world)


def test_plain_http_to_this_machine_is_allowed_only_where_the_server_says_so(world: World) -> None:
    """The flag is the server's, whatever the database would take."""
    assert world.a_webhook(url="http://127.0.0.1:8000/").url == "http://127.0.0.1:8000/"
    with World(endpoints=EndpointRules()) as strict:
        with refused(INVALID, "url: must start with https://"):
            strict.a_webhook(url="http://127.0.0.1:8000/")
        made = strict.a_webhook()
        with refused(INVALID, "url: must start with https://"):
            _update(strict, made.id, url="http://127.0.0.1:8000/")


def test_endpoints_are_listed_in_pages_newest_first(world: World) -> None:
    """Following the token shows each once."""
    made = [world.a_webhook(name=f"Hook {number}").id for number in range(3)]
    first = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=2))
    rest = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=2, page_token=first.next_page_token))
    assert [each.id for each in (*first.webhooks, *rest.webhooks)] == made[::-1]
    assert rest.next_page_token == ""


def test_a_change_touches_what_the_mask_names_and_nothing_else(world: World) -> None:
    """Other fields of the message are not looked at."""
    made = world.a_webhook(secret=SECRET)
    changed = _update(world, made.id, "name", "events", name="New", timeout_ms=1, url="nonsense")
    assert (changed.name, list(changed.events)) == ("New", [])
    assert (changed.url, changed.timeout_ms) == (made.url, made.timeout_ms)
    assert _stored(world, made.id).secret == SECRET


def test_every_named_field_can_be_changed(world: World) -> None:
    """And is stored."""
    made = world.a_webhook()
    changed = _update(
        world,
        made.id,
        url="https://other.example/",
        events=["recording.started"],
        name="Other",
        enabled=False,
        timeout_ms=5000,
        max_retries=20,
    )
    assert (changed.url, list(changed.events)) == ("https://other.example/", ["recording.started"])
    assert (changed.name, changed.enabled, changed.timeout_ms, changed.max_retries) == (
        "Other",
        False,
        5000,
        20,
    )
    assert _get(world, made.id) == changed


@pytest.mark.parametrize(
    ("paths", "fields", "field", "word"),
    [
        (["secret"], {}, "update_mask", "allowed: url, events, name, enabled, timeout_ms, max_retries"),
        ([], {}, "update_mask", "names no field"),
        (["url"], {}, "url", "https://"),
        (["url"], {"url": "https://forbidden.example/"}, "url", "not allowed"),
        (["name"], {}, "name", "empty"),
        (["timeout_ms"], {"timeout_ms": 99}, "timeout_ms", "100 to 30000"),
        (["max_retries"], {}, "max_retries", "1 to 20"),
        (["events"], {"events": ["x"]}, "events", "allowed"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value),
)
def test_a_bad_change_is_refused_as_a_registration_would_be(
    world: World, paths: list[str], fields: dict[str, Any], field: str, word: str
) -> None:
    """And changes nothing."""
    made = world.a_webhook()
    request = pb.UpdateWebhookRequest(webhook_id=made.id, update_mask=FieldMask(paths=paths), **fields)
    with refused(INVALID, f"{field}: ", word):
        world.client.webhooks.UpdateWebhook(request)
    assert _get(world, made.id) == made


def test_enabling_clears_the_reason_for_which_it_was_disabled(world: World) -> None:
    """Disabling it by hand leaves the system's reason readable."""
    made = world.a_webhook()
    _disable(world, made.id, "410 Gone")
    assert _update(world, made.id, enabled=False).disabled_reason == "410 Gone"
    assert not _update(world, made.id, enabled=True).HasField("disabled_reason")


def test_a_deleted_endpoint_is_gone_from_every_call(world: World) -> None:
    """Deleting it once more finds nothing."""
    made = world.a_webhook()
    request = pb.DeleteWebhookRequest(webhook_id=made.id)
    world.client.webhooks.DeleteWebhook(request)
    assert not _listed(world)
    for call in (_get, _rotate, _test):
        with refused(NOT_FOUND, "webhook_id"):
            call(world, made.id)
    with refused(NOT_FOUND):
        world.client.webhooks.DeleteWebhook(request)


def test_a_rotated_secret_leaves_the_old_one_signing_for_a_day(world: World) -> None:
    """The new one is made by the server where none is given, and returned once."""
    made = world.a_webhook(secret=SECRET)
    rotated = _rotate(world, made.id)
    stored = _stored(world, made.id)
    now = datetime.now(UTC)
    assert (stored.secret, stored.previous_secret) == (rotated.secret, SECRET)
    assert stored.secrets_at(now + timedelta(hours=23)) == (rotated.secret, SECRET)
    assert stored.secrets_at(now + timedelta(hours=25)) == (rotated.secret,)
    assert rotated.HasField("previous_secret_expires_at")
    assert not _get(world, made.id).HasField("secret")


def test_a_rotation_takes_a_given_secret_and_overlap(world: World) -> None:
    """Zero ends the old one at once."""
    made = world.a_webhook(generate_secret=True)
    assert _rotate(world, made.id, secret=SECRET, overlap_seconds=0).secret == SECRET
    assert _stored(world, made.id).secrets_at(datetime.now(UTC)) == (SECRET,)


def test_rotations_within_the_overlap_show_each_secret_that_still_signs(world: World) -> None:
    """Newest first, five at most; the last end of all is the one that stood here before there were several."""
    made = rotated = world.a_webhook(generate_secret=True)
    endings = [made.secret[-4:]]
    for number in range(7):
        rotated = _rotate(world, made.id, overlap_seconds=1000 - number)
        assert [each.hint for each in rotated.previous_secrets] == endings[::-1][:5]
        endings.append(rotated.secret[-4:])
    ends = [each.expires_at.ToDatetime() for each in rotated.previous_secrets]
    assert rotated.previous_secret_expires_at.ToDatetime() == max(ends)
    assert len(_stored(world, made.id).secrets_at(datetime.now(UTC))) == 6
    ended = _rotate(world, made.id, overlap_seconds=0)
    assert not ended.previous_secrets
    assert not ended.HasField("previous_secret_expires_at")


def test_a_secret_that_has_ended_is_shown_no_more(world: World) -> None:
    """Neither in the list nor by its end."""
    made = world.a_webhook(generate_secret=True)
    _rotate(world, made.id, overlap_seconds=1)
    until(lambda: not _get(world, made.id).previous_secrets, what="the overlap's end")
    assert not _get(world, made.id).HasField("previous_secret_expires_at")


def test_an_unsigned_endpoint_gets_its_first_secret_by_rotation(world: World) -> None:
    """There is none before it that could overlap."""
    rotated = _rotate(world, world.a_webhook().id)
    assert rotated.signed
    assert not rotated.HasField("previous_secret_expires_at")


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"secret": ""}, "secret"), ({"overlap_seconds": -1}, "overlap_seconds")],
    ids=["empty secret", "negative overlap"],
)
def test_a_bad_rotation_is_refused(world: World, fields: dict[str, Any], field: str) -> None:
    """And rotates nothing."""
    made = world.a_webhook(secret=SECRET)
    with refused(INVALID, f"{field}: "):
        _rotate(world, made.id, **fields)
    assert _stored(world, made.id).secret == SECRET


def test_another_workspace_s_endpoint_is_not_found(world: World) -> None:
    """In every RPC that takes one, and it is in no list."""
    webhook_id = world.a_webhook(secret=SECRET).id
    mask = FieldMask(paths=["enabled"])
    with world.stranger() as stranger:
        hooks = stranger.webhooks
        with refused(NOT_FOUND):
            hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id))
        with refused(NOT_FOUND):
            hooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook_id, update_mask=mask))
        with refused(NOT_FOUND):
            hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook_id))
        with refused(NOT_FOUND):
            hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook_id))
        with refused(NOT_FOUND):
            hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id))
        assert not hooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    assert _stored(world, webhook_id).secret == SECRET
    assert world.event_types() == []


@pytest.mark.parametrize("call", [_get, _update, _rotate])
def test_a_malformed_webhook_id_is_refused_by_name(world: World, call: Any) -> None:
    """It is not taken for an endpoint that isn't there."""
    with refused(INVALID, "webhook_id: must be a UUID"):
        call(world, "x")
    with refused(NOT_FOUND):
        call(world, str(uuid4()), **({"name": "x"} if call is _update else {}))


def _listed(world: World) -> list[pb.Webhook]:
    return list(world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks)


def _test(world: World, webhook_id: str) -> pb.TestWebhookResponse:
    return world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id))


def _disable(world: World, webhook_id: str, reason: str) -> None:
    stored = _stored(world, webhook_id)
    with world.units() as unit:
        unit.webhooks.update(replace(stored, enabled=False, disabled_reason=reason))
        unit.commit()
