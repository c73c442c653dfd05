"""What signs an endpoint's requests, over the API: key pairs are made, shown by their public halves, and rotated."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import connected, world_over
from tests.integration.rpc.world import UNLIMITED, World, refused
from tests.support.waiting import until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.webhooks import WebhookConfig

INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
SECRET: Final = "a-secret-of-our-own"


@pytest.fixture(params=["memory", "postgres"])
def any_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Offer a server over each store."""
    if request.param == "memory":
        with World(limits=UNLIMITED) as running:
            yield running
    else:
        with world_over(request.getfixturevalue("database_url"), limits=UNLIMITED) as running:
            yield running


def update(world: World, webhook_id: str, signing: str) -> pb.Webhook:
    mask = FieldMask(paths=["signing"])
    request = pb.UpdateWebhookRequest(webhook_id=webhook_id, update_mask=mask, signing=signing)
    return world.client.webhooks.UpdateWebhook(request)


def rotate(world: World, webhook_id: str, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    return world.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook_id, **fields))


def get(world: World, webhook_id: str) -> pb.Webhook:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id))


def stored(world: World, webhook_id: str) -> WebhookConfig:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook_id))
    assert found is not None
    return found


@pytest.mark.parametrize("signing", list(Signing))
def test_a_key_pair_is_made_where_it_is_needed_and_its_public_key_shown(any_world: World, signing: Signing) -> None:
    """At registration, and in every later answer; the default needs none."""
    made = any_world.a_webhook(signing=signing)
    assert made.signing == signing
    assert made.HasField("public_key") == signing.uses_key
    assert made.signed == signing.uses_key
    if signing.uses_key:
        assert made.public_key.startswith("whpk_")
        assert made.public_key == stored(any_world, made.id).public_key
    [listed] = any_world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks
    assert listed == get(any_world, made.id)
    assert (listed.signing, listed.public_key) == (made.signing, made.public_key)


def test_secrets_sign_where_nothing_is_named(world: World) -> None:
    """As in the release before."""
    made = world.a_webhook(secret=SECRET)
    assert (made.signing, made.HasField("public_key"), made.signed) == ("hmac", False, True)
    assert not stored(world, made.id).has_key


def test_a_change_makes_a_key_pair_once(any_world: World) -> None:
    """It is kept while secrets sign alone, and the secret while the key does."""
    made = any_world.a_webhook(secret=SECRET)
    both = update(any_world, made.id, "both")
    alone = update(any_world, made.id, "ed25519")
    back = update(any_world, made.id, "hmac")
    again = update(any_world, made.id, "both")
    assert {each.public_key for each in (both, alone, back, again)} == {both.public_key}
    assert both.public_key
    assert stored(any_world, made.id).secret == SECRET


@pytest.mark.parametrize(("signing", "rotated"), [("hmac", "secret"), ("ed25519", "key"), ("both", "both")])
def test_what_signs_is_what_is_rotated(any_world: World, signing: str, rotated: str) -> None:
    """Where the caller doesn't say; what was before goes on for the overlap."""
    made = any_world.a_webhook(secret=SECRET, signing=signing)
    after = rotate(any_world, made.id)
    assert after.HasField("secret") == (rotated != "key")
    assert [bool(after.previous_secrets), bool(after.previous_public_keys)] == [rotated != "key", rotated != "secret"]
    if rotated != "secret":
        assert after.public_key != made.public_key
        assert [each.public_key for each in after.previous_public_keys] == [made.public_key]
    assert (stored(any_world, made.id).secret == SECRET) == (rotated == "key")


@pytest.mark.parametrize("what", ["secret", "key", "both"])
def test_the_caller_may_say_what_is_rotated(any_world: World, what: str) -> None:
    """Also what does not sign yet: a public key can be handed on before its signatures come."""
    made = any_world.a_webhook()
    after = rotate(any_world, made.id, what=what)
    assert [after.HasField("secret"), after.HasField("public_key")] == [what != "key", what != "secret"]
    assert after.signing == "hmac"
    assert update(any_world, made.id, "both").public_key == (after.public_key or stored(any_world, made.id).public_key)


def test_rotated_keys_sign_on_five_at_most_and_each_until_its_own_end(any_world: World) -> None:
    """Newest first; without an overlap all of them end."""
    made = after = any_world.a_webhook(signing="ed25519")
    keys = [made.public_key]
    for number in range(7):
        after = rotate(any_world, made.id, overlap_seconds=1000 - number)
        assert [each.public_key for each in after.previous_public_keys] == keys[::-1][:5]
        keys.append(after.public_key)
    ends = [each.expires_at.ToDatetime(tzinfo=UTC) for each in after.previous_public_keys]
    assert ends == [each.expires_at for each in stored(any_world, made.id).previous_keys]
    assert min(ends) > datetime.now(UTC)
    assert not rotate(any_world, made.id, overlap_seconds=0).previous_public_keys
    rotate(any_world, made.id, overlap_seconds=1)
    until(lambda: not get(any_world, made.id).previous_public_keys, what="the overlap's end")


def test_a_repeated_rotation_of_a_key_rotates_once_and_tells_no_secret(any_world: World) -> None:
    """The first call's answer had none, though the endpoint has one."""
    made = any_world.a_webhook(secret=SECRET, signing="ed25519")
    first = rotate(any_world, made.id, request_id="key-1")
    again = rotate(any_world, made.id, request_id="key-1")
    assert again == first
    assert not again.HasField("secret")
    assert again.secret_hint == made.secret_hint
    assert len(again.previous_public_keys) == 1
    with refused(grpc.StatusCode.ALREADY_EXISTS, "request_id"):
        rotate(any_world, made.id, request_id="key-1", what="both")


def test_a_repeated_rotation_of_both_tells_the_secret_again(any_world: World) -> None:
    """And a repeated registration with a key pair makes no second one."""
    request = pb.RegisterWebhookRequest(
        url="https://receiver.example/", generate_secret=True, signing="both", request_id="r-1"
    )
    made = any_world.client.webhooks.RegisterWebhook(request)
    assert any_world.client.webhooks.RegisterWebhook(request) == made
    first = rotate(any_world, made.id, request_id="both-1")
    assert first.secret
    assert rotate(any_world, made.id, request_id="both-1") == first
    with WireClient(any_world.address, any_world.another_token()[0]) as other:
        request_again = pb.RotateWebhookSecretRequest(webhook_id=made.id, request_id="both-1")
        told = other.webhooks.RotateWebhookSecret(request_again)
    assert (told.HasField("secret"), told.public_key) == (False, first.public_key)


@pytest.mark.parametrize("word", ["", "HMAC", "ed448", "x" * 200])
def test_what_may_sign_is_named_where_something_else_is_asked_for(world: World, word: str) -> None:
    """At registration, at a change, and of what is rotated."""
    made = world.a_webhook()
    with refused(INVALID, "signing: ", "allowed: hmac, ed25519, both"):
        world.a_webhook(signing=word)
    with refused(INVALID, "signing: ", "allowed: hmac, ed25519, both"):
        update(world, made.id, word)
    with refused(INVALID, "what: ", "allowed: secret, key, both"):
        rotate(world, made.id, what=word)


def test_a_secret_is_refused_where_the_key_alone_is_rotated(world: World) -> None:
    """It would be lost without a word."""
    made = world.a_webhook(signing="ed25519")
    for fields in ({}, {"what": "key"}):
        with refused(INVALID, "secret: must not be set where the key alone is rotated"):
            rotate(world, made.id, secret=SECRET, **fields)
    assert get(world, made.id).public_key == made.public_key
    assert rotate(world, made.id, secret=SECRET, what="both").secret == SECRET


@pytest.mark.parametrize("secret", ["whpk_" + "A" * 43 + "=", "whsk_" + "A" * 86 + "=="])
def test_a_key_is_refused_as_a_secret(world: World, secret: str) -> None:
    """Whoever knows the public one could sign with it."""
    with refused(INVALID, "secret: must not be a key of a pair"):
        world.a_webhook(secret=secret)


def lose_keys(world: World, made: pb.Webhook, request: pytest.FixtureRequest) -> None:
    """Have the endpoint's key pairs be what no key decrypts."""
    blind = replace(stored(world, made.id), signing_key=None, previous_keys=(), keys_unreadable=True)
    with world.units() as unit:
        unit.webhooks.update(blind.checked_for_losses())
        unit.commit()
    if not world.store.tables.webhooks:
        with connected(request.getfixturevalue("database_url")) as connection:
            statement = "UPDATE noteflow.webhook_configs SET signing_keys = 'lost' WHERE id = %s"
            connection.execute(statement, [made.id])


def test_keys_that_no_key_decrypts_are_told_until_they_are_rotated(
    any_world: World, request: pytest.FixtureRequest
) -> None:
    """Nothing else makes up for them; no second pair is made in their place meanwhile."""
    made = any_world.a_webhook(secret=SECRET, signing="both")
    lose_keys(any_world, made, request)
    shown = get(any_world, made.id)
    assert (shown.secret_unavailable, shown.signed, shown.HasField("public_key")) == (True, True, False)
    assert not update(any_world, made.id, "hmac").secret_unavailable
    assert update(any_world, made.id, "both").secret_unavailable
    assert rotate(any_world, made.id, what="secret").secret_unavailable
    rotated = rotate(any_world, made.id, what="key")
    assert (rotated.secret_unavailable, rotated.public_key != made.public_key) == (False, True)


def test_a_deleted_endpoint_has_no_key(any_world: World) -> None:
    """Private keys go with the secrets."""
    made = any_world.a_webhook(signing="ed25519")
    any_world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id))
    with any_world.units() as unit:
        left = unit.webhooks.get_by_id(UUID(made.id), with_deleted=True)
    assert left is not None
    assert (left.signing_key, left.previous_keys, left.has_key) == (None, (), False)


def test_the_trail_tells_of_keys_by_a_word(any_world: World) -> None:
    """That there is one, that one was made, and which of key and secret was rotated."""
    made = any_world.a_webhook(secret=SECRET)
    update(any_world, made.id, "both")
    rotate(any_world, made.id, what="key")
    rotate(any_world, made.id, what="both", overlap_seconds=0)
    any_world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id))
    entries = any_world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest()).audit_entries
    told = [(json.loads(each.old or "{}"), json.loads(each.new or "{}")) for each in reversed(entries)]
    assert "key" not in told[0][1]
    assert told[1] == ({"signing": "hmac", "key": None}, {"signing": "both", "key": "changed"})
    assert told[2] == ({"key": "changed"}, {"key": "changed", "overlap_seconds": 86_400.0})
    assert told[3] == (
        {"key": "changed", "secret": "changed"},
        {"key": "changed", "secret": "changed", "overlap_seconds": 0.0},
    )
    assert told[4][0]["key"] == "changed"


def test_no_answer_and_no_entry_has_a_private_key(any_world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked."""
    caplog.set_level("DEBUG")
    made = any_world.a_webhook(signing="both", generate_secret=True)
    answers: list[Any] = [
        made,
        rotate(any_world, made.id),
        update(any_world, made.id, "ed25519"),
        get(any_world, made.id),
    ]
    answers += [any_world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest())]
    answers += [any_world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest())]
    kept = stored(any_world, made.id)
    keys = [kept.signing_key or "", *(each.private_key for each in kept.previous_keys)]
    said = f"{answers}{caplog.text}"
    assert len(keys) == 2
    for key in keys:
        # The second half is the public key, which is shown.
        assert key[:40] not in said
        assert key[5:40] not in said
    assert "whsk_" not in said
