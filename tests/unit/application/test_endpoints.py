"""Endpoints: registration, changes by name, rotation with overlap, pausing, deletion."""

from __future__ import annotations

import logging
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.application.endpoints import (
    CHANGEABLE,
    EndpointRules,
    EndpointView,
    Registration,
    change_webhook,
    check_changeable,
    delete_webhook,
    find_webhook,
    list_webhooks,
    new_webhook,
    read_webhook,
)
from noteflow_hooks.application.rotations import Rotation, rotate_secret
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.domain.paging import ALL_WEBHOOKS, Page
from noteflow_hooks.errors import InvalidInputError, NotFoundError
from tests.support.builders import BY, hours

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.application_world import World

RULES = EndpointRules(timeout_ms=1234, max_retries=7)
URL = "https://receiver.example/hooks"
SECRET = "a-first-secret-of-24-characters"
OTHER = "another-secret-of-24-characters"


def change(world: World, webhook_id: UUID, changes: dict[str, Any]) -> EndpointView:
    """Change an endpoint in a unit of work of its own."""
    return world.do(
        lambda unit: change_webhook(
            unit, world.service, world.workspace.id, webhook_id, changes, rules=RULES, now=world.now, by=BY
        )
    )


def test_a_registration_gets_the_servers_defaults_where_it_names_nothing() -> None:
    """And no secret: that must be asked for."""
    made = new_webhook(uuid4(), Registration(url=URL), rules=RULES)
    assert (made.name, made.timeout_ms, made.max_retries, made.enabled) == ("Webhook", 1234, 7, True)
    assert (made.events, made.secret, made.headers, made.rate_limit_per_s, made.max_concurrency) == (
        (), None, (), None, None,
    )  # fmt: skip


def test_a_registration_gets_what_it_names() -> None:
    """False and the empty list are named too."""
    asked = Registration(
        url=URL,
        events=["meeting.completed"],
        name="Mine",
        secret=SECRET,
        timeout_ms=500,
        max_retries=1,
        enabled=False,
        headers=[("X-Key", "v")],
        rate_limit_per_s=2.5,
        max_concurrency=3,
    )
    made = new_webhook(uuid4(), asked, rules=RULES)
    assert (made.name, made.secret, made.timeout_ms, made.max_retries, made.enabled) == ("Mine", SECRET, 500, 1, False)
    assert (made.headers, made.rate_limit_per_s, made.max_concurrency) == ((("X-Key", "v"),), 2.5, 3)


def test_a_secret_is_made_or_given_and_not_both() -> None:
    """One that is made differs each time."""
    made = [new_webhook(uuid4(), Registration(url=URL, generate_secret=True), rules=RULES).secret for _ in range(2)]
    assert made[0] is not None
    assert made[0] != made[1]
    with pytest.raises(InvalidInputError, match="generate_secret: must not be set together with secret"):
        new_webhook(uuid4(), Registration(url=URL, secret=SECRET, generate_secret=True), rules=RULES)


def test_plain_http_to_this_machine_is_the_servers_decision() -> None:
    """At a registration and at a change."""
    asked = Registration(url="http://127.0.0.1:8000/")
    with pytest.raises(InvalidInputError, match="url"):
        new_webhook(uuid4(), asked, rules=EndpointRules())
    assert new_webhook(uuid4(), asked, rules=EndpointRules(allow_http_loopback=True)).url == asked.url


def test_another_workspaces_endpoint_is_not_found(world: World) -> None:
    """By nobody and for nothing."""
    webhook = world.webhook()
    stranger = uuid4()
    assert world.do(lambda unit: find_webhook(unit, world.workspace.id, webhook.id)).id == webhook.id
    rotation = Rotation.create()
    for use_case in (
        lambda unit: find_webhook(unit, stranger, webhook.id),
        lambda unit: read_webhook(unit, stranger, webhook.id),
        lambda unit: delete_webhook(unit, stranger, webhook.id, by=BY),
        lambda unit: rotate_secret(unit, stranger, webhook.id, rotation, now=world.now, by=BY),
        lambda unit: change_webhook(
            unit, world.service, stranger, webhook.id, {"enabled": False}, rules=RULES, now=world.now, by=BY
        ),
    ):
        with pytest.raises(NotFoundError, match=f"webhook_id: no webhook {webhook.id} in this workspace"):
            world.do(use_case)
    assert world.stored_webhook(webhook.id) == webhook


def test_a_list_has_each_endpoint_with_how_it_does(world: World) -> None:
    """Newest first; one of which nothing is known does well."""
    webhooks = [world.webhook(name=name) for name in ("first", "second")]
    views, _ = world.do(lambda unit: list_webhooks(unit, world.workspace.id, ALL_WEBHOOKS, Page(size=10)))
    assert views == [EndpointView(each, EndpointHealth(each.id)) for each in reversed(webhooks)]
    assert [(each.id, each.created_at) for each in views] == [(each.id, each.created_at) for each in reversed(webhooks)]
    assert world.do(lambda unit: read_webhook(unit, world.workspace.id, webhooks[0].id)) == views[1]


def test_a_page_is_read_with_one_row_more_than_it_shows(world: World) -> None:
    """By which the caller tells that there is another page."""
    for _ in range(3):
        world.webhook()
    assert len(world.do(lambda unit: list_webhooks(unit, world.workspace.id, ALL_WEBHOOKS, Page(size=1)))[0]) == 2


def test_what_can_be_changed_is_named_once_each() -> None:
    """In the order in which it was named."""
    assert check_changeable(["url", "paused", "url"]) == ("url", "paused")
    assert check_changeable(CHANGEABLE) == CHANGEABLE
    with pytest.raises(InvalidInputError, match="update_mask: 'secret' can't be changed; allowed: url, events, name"):
        check_changeable(["url", "secret"])
    with pytest.raises(InvalidInputError, match="update_mask: names no field; allowed: url"):
        check_changeable([])


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("url", "https://other.example/x", "https://other.example/x"),
        ("events", ["summary.generated", "meeting.completed"], ("meeting.completed", "summary.generated")),
        ("name", "Yours", "Yours"),
        ("enabled", False, False),
        ("timeout_ms", 200, 200),
        ("max_retries", 20, 20),
        ("rate_limit_per_s", 0.5, 0.5),
        ("rate_limit_per_s", None, None),
        ("max_concurrency", 9, 9),
        ("max_concurrency", None, None),
        ("payload_version", 1, 1),
    ],
)
def test_a_change_sets_what_it_names_and_nothing_else(world: World, name: str, value: object, stored: object) -> None:
    """The rest stays, valid by today's rules or not."""
    before = world.webhook(
        timeout_ms=99_999, max_retries=99, name="", rate_limit_per_s=5e6, max_concurrency=4, payload_version=7
    )
    after = change(world, before.id, {name: value}).webhook
    assert after == world.stored_webhook(before.id)
    names = [each.name for each in fields(after)]
    different = {field for field in names if getattr(after, field) != getattr(before, field)}
    assert different - {"updated_at"} == {name}
    assert getattr(after, name) == stored


@pytest.mark.parametrize(
    ("name", "value"),
    [("url", "ftp://x"), ("events", ["no"]), ("name", ""), ("timeout_ms", 1), ("max_retries", 0),
     ("headers", [("Host", "x")]), ("rate_limit_per_s", 0.0), ("max_concurrency", 0), ("payload_version", 0),
     ("payload_version", 2), ("events", ["custom.none"])],
)  # fmt: skip
def test_a_change_is_checked_as_a_registration_is(world: World, name: str, value: object) -> None:
    """The error names the field, and nothing is stored."""
    before = world.webhook()
    with pytest.raises(InvalidInputError, match=f"^{name}"):
        change(world, before.id, {name: value})
    assert world.stored_webhook(before.id) == before


def test_whoever_enables_an_endpoint_takes_the_reason_away(world: World) -> None:
    """The system's own, why it was disabled; disabling it leaves it."""
    webhook = world.webhook(enabled=False, disabled_reason="410 Gone")
    assert change(world, webhook.id, {"enabled": False}).webhook.disabled_reason == "410 Gone"
    enabled = change(world, webhook.id, {"enabled": True}).webhook
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)


def test_new_headers_are_readable_again(world: World) -> None:
    """Whatever became of those before; a secret that nobody can read stays one."""
    lost = {"header_names": ("X-Old",), "secret_unavailable": True}
    after = change(world, world.webhook(**lost).id, {"headers": [("X-New", "1")]}).webhook
    assert (after.headers, after.header_names, after.secret_unavailable) == ((("X-New", "1"),), ("X-New",), False)
    both = world.webhook(**lost, secret_unreadable=True)
    assert change(world, both.id, {"headers": [("X-New", "1")]}).webhook.secret_unavailable


def test_pausing_is_noted_with_its_time_and_again_changes_nothing(world: World) -> None:
    """Resuming takes it away."""
    webhook = world.webhook()
    began = world.now
    assert change(world, webhook.id, {"paused": True}).webhook.paused_at == began
    world.now += hours(1)
    assert change(world, webhook.id, {"paused": True}).webhook.paused_at == began
    assert change(world, webhook.id, {"name": "New"}).webhook.paused_at == began
    assert change(world, webhook.id, {"paused": False}).webhook.paused_at is None


def test_workers_hear_of_a_change_after_its_commit(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What it lets go waits for nothing else; the log names the fields, and no values."""
    caplog.set_level(logging.INFO)
    webhook = world.webhook()
    changes = {"name": "Hidden", "paused": False}
    with world.unit() as unit:
        change_webhook(unit, world.service, world.workspace.id, webhook.id, changes, rules=RULES, now=world.now, by=BY)
    assert (world.woken_for, caplog.messages) == ([], [])
    change(world, webhook.id, changes)
    assert world.woken_for == [webhook.id]
    assert f"webhook {webhook.id} changed: name, paused" in caplog.messages
    assert "Hidden" not in caplog.text


def test_a_rotated_endpoint_signs_with_both_secrets_until_the_overlap_is_over(world: World) -> None:
    """The new one first."""
    webhook = world.webhook(secret=SECRET)
    rotation = Rotation.create(OTHER, overlap_s=60)
    view = world.do(lambda unit: rotate_secret(unit, world.workspace.id, webhook.id, rotation, now=world.now, by=BY))
    assert view.webhook == world.stored_webhook(webhook.id)
    assert view.webhook.secret_hint == OTHER[-4:]
    assert view.webhook.secrets_at(world.now + timedelta(seconds=59)) == (OTHER, SECRET)
    assert view.webhook.secrets_at(world.now + timedelta(seconds=60)) == (OTHER,)


def test_an_unsigned_endpoint_is_signed_from_its_rotation_on(world: World) -> None:
    """There is nothing to overlap with."""
    webhook = world.webhook()
    rotation = Rotation.create(OTHER)
    after = world.do(
        lambda unit: rotate_secret(unit, world.workspace.id, webhook.id, rotation, now=world.now, by=BY)
    ).webhook
    assert (after.secrets_at(world.now), after.previous_secret_expires_at) == ((OTHER,), None)


def test_a_rotation_mends_a_secret_that_nobody_can_read(world: World) -> None:
    """But not headers that nobody can read: nothing is sent without them."""
    webhook = world.webhook(secret_unreadable=True, secret_unavailable=True)
    both = world.webhook(secret_unreadable=True, secret_unavailable=True, header_names=("X-Lost",))
    rotation = Rotation.create()

    def mended(webhook_id: UUID) -> tuple[bool, bool]:
        view = world.do(
            lambda unit: rotate_secret(unit, world.workspace.id, webhook_id, rotation, now=world.now, by=BY)
        )
        return view.webhook.secret_unreadable, view.webhook.secret_unavailable

    assert mended(webhook.id) == (False, False)
    assert mended(both.id) == (False, True)


def test_a_rotation_is_to_a_day_of_overlap_and_a_secret_of_our_own() -> None:
    """Where its caller names neither; up to thirty days may be named, and none."""
    made = Rotation.create()
    assert made.overlap == hours(24)
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    assert Rotation.create(overlap_s=0).overlap == timedelta(0)
    assert Rotation.create(overlap_s=30 * 86_400).overlap == timedelta(days=30)


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, float("nan"), float("inf")])
def test_an_overlap_has_its_bounds(seconds: float) -> None:
    """From none to thirty days."""
    with pytest.raises(InvalidInputError, match=r"overlap_seconds: is .*; allowed are 0 to 2592000 seconds"):
        Rotation.create(overlap_s=seconds)


def test_a_rotation_checks_its_secret() -> None:
    """As a registration does."""
    with pytest.raises(InvalidInputError, match=r"^secret"):
        Rotation.create("short")


def test_a_deleted_endpoint_is_gone_with_what_waits_for_it(world: World) -> None:
    """And a second time it is not found."""
    webhook = world.webhook(secret=SECRET)
    delivery = world.delivery(webhook)
    world.do(lambda unit: delete_webhook(unit, world.workspace.id, webhook.id, by=BY))
    assert world.do(lambda unit: unit.webhooks.get_by_id(webhook.id)) is None
    left = world.do(lambda unit: unit.deliveries.get_by_id(world.workspace.id, delivery.id))
    assert left is not None
    assert left.status == "skipped"
    with pytest.raises(NotFoundError):
        world.do(lambda unit: delete_webhook(unit, world.workspace.id, webhook.id, by=BY))
