"""Calls under a request id: repeated, they do nothing and are answered as the first one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import connected, world_over
from tests.integration.rpc.world import UNLIMITED, World, refused
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

EXISTS = grpc.StatusCode.ALREADY_EXISTS
INVALID = grpc.StatusCode.INVALID_ARGUMENT
URL = "https://receiver.example/hooks"


@pytest.fixture(params=["memory", "postgres"])
def any_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Offer a server over each store."""
    if request.param == "memory":
        with World(limits=UNLIMITED) as running:
            yield running
    else:
        with world_over(request.getfixturevalue("database_url"), limits=UNLIMITED) as running:
            yield running


def _register(client: WireClient, request_id: str = "r-1", **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    given: dict[str, Any] = {"url": URL, "generate_secret": True} | fields
    return client.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(request_id=request_id, **given))


def _rotate(client: WireClient, webhook_id: str, request_id: str) -> pb.Webhook:
    request = pb.RotateWebhookSecretRequest(webhook_id=webhook_id, request_id=request_id)
    return client.webhooks.RotateWebhookSecret(request)


def _another(world: World) -> WireClient:
    return WireClient(world.address, world.another_token()[0])


def test_a_repeated_registration_gives_the_first_answer_and_its_secret_to_the_first_token(any_world: World) -> None:
    """Another token is told the hint."""
    first = _register(any_world.client)
    assert _register(any_world.client) == first
    other = _another(any_world)
    told = _register(other)
    assert (told.id, told.HasField("secret"), told.secret_hint) == (first.id, False, first.secret[-4:])
    other.close()
    assert len(any_world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks) == 1


def test_a_repeated_rotation_rotates_once(any_world: World) -> None:
    """The secret comes again until it is rotated away or the endpoint is deleted; then its hint does."""
    made = any_world.a_webhook(generate_secret=True)
    first = _rotate(any_world.client, made.id, "rot-1")
    assert _rotate(any_world.client, made.id, "rot-1").secret == first.secret
    assert len(first.previous_secrets) == 1
    second = _rotate(any_world.client, made.id, "rot-2")
    assert second.secret != first.secret
    again = _rotate(any_world.client, made.id, "rot-1")
    assert (again.HasField("secret"), again.secret_hint) == (False, first.secret[-4:])
    any_world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id))
    gone = _rotate(any_world.client, made.id, "rot-2")
    assert (gone.id, gone.HasField("secret"), gone.secret_hint) == (made.id, False, second.secret[-4:])


def test_a_secret_that_a_former_release_has_set_since_is_not_told(any_world: World) -> None:
    """Its rotation leaves the secret's id as it is; the repeated request did not make that secret."""
    first = _register(any_world.client)
    with any_world.units() as unit:
        stored = unit.webhooks.get_by_id(UUID(first.id))
        assert stored is not None
        unit.webhooks.update(replace(stored, secret="set-by-a-former-release-zz", secret_hint="e-zz"))
        unit.commit()
    again = _register(any_world.client)
    assert (again.id, again.HasField("secret"), again.secret_hint) == (first.id, False, first.secret[-4:])


def test_a_repeated_meeting_and_a_repeated_test_are_made_once(any_world: World) -> None:
    """By their ids."""
    request = pb.CreateMeetingRequest(title="Weekly", request_id="m-1")
    assert any_world.client.meetings.CreateMeeting(request) == any_world.client.meetings.CreateMeeting(request)
    assert len(any_world.client.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings) == 1
    test = pb.TestWebhookRequest(webhook_id=any_world.a_webhook().id, request_id="t-1")
    ids = {any_world.client.webhooks.TestWebhook(test).event_id for _ in range(2)}
    assert len(ids) == len(any_world.events()) == 1


def test_an_id_that_stands_for_another_request_is_refused(any_world: World) -> None:
    """Another method, another field, another secret; in another workspace it stands for nothing."""
    _register(any_world.client, generate_secret=False, secret="a-secret-of-mine")
    for fields in ({"secret": "a-secret-of-hers"}, {"secret": "a-secret-of-mine", "name": "Other"}):
        with refused(EXISTS, "request_id"):
            _register(any_world.client, generate_secret=False, **fields)
    with refused(EXISTS, "request_id"):
        any_world.client.meetings.CreateMeeting(pb.CreateMeetingRequest(request_id="r-1"))
    with any_world.stranger() as other:
        _register(other)


@pytest.mark.parametrize("request_id", ["", "x" * 65, "a b", "\u00e4"])
def test_an_id_is_1_to_64_visible_characters(world: World, request_id: str) -> None:
    """Others are refused, and nothing is made."""
    with refused(INVALID, "request_id"):
        _register(world.client, request_id)
    assert not world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks


def test_a_request_that_fails_leaves_its_id_free(any_world: World) -> None:
    """It may be corrected under the same one."""
    with refused(INVALID, "url"):
        _register(any_world.client, url="https://forbidden.example/")
    assert _register(any_world.client).id


def test_of_many_at_once_one_registers(any_world: World) -> None:
    """All are given the same answer."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _register(any_world.client), range(8)))
    assert len({(each.id, each.secret) for each in answers}) == 1


def test_nothing_of_a_secret_is_stored_with_a_request(database_url: str) -> None:
    """Neither itself nor what a guess could be held against quickly."""
    with world_over(database_url, limits=UNLIMITED) as world:
        _register(world.client, generate_secret=False, secret="a-secret-of-mine")
        with connected(database_url) as connection:
            rows = connection.execute(
                # A digest may have any bytes, zero too, which no text has.
                "SELECT each::text, digest FROM noteflow.request_ids AS each WHERE workspace_id = %s",
                [world.workspace_id],
            ).fetchall()
    assert rows
    assert all("a-secret" not in row and b"a-secret" not in digest for row, digest in rows)
