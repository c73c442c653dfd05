"""Endpoints, as every store keeps them: hidden once deleted, and their secrets gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.paging import DeliveryFilter, Position
from noteflow_hooks.domain.skipping import DELETED
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.key_pairs import generate_key_pair
from tests.support.builders import NOON, a_delivery, a_webhook, an_attempt_result

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

EVERYTHING: dict[str, Any] = {
    "name": "CRM",
    "url": "https://crm.example:8443/in?from=noteflow",
    "events": ("meeting.completed", "summary.generated"),
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "secret_hint": "LaSw",
    "previous_secret": "an-older-secret",
    "previous_secret_expires_at": NOON,
    "enabled": False,
    "timeout_ms": 100,
    "max_retries": 20,
    "disabled_reason": "It failed for five days.",
    "headers": (("X-Zone", "b \t 2"), ("Authorization", "Bearer abc")),
    "header_names": ("X-Zone", "Authorization"),
    "rate_limit_per_s": 0.25,
    "max_concurrency": 7,
    "paused_at": NOON,
    "signing": Signing.BOTH,
    "signing_key": generate_key_pair(),
    "previous_keys": (PreviousKey(generate_key_pair(), NOON), PreviousKey(generate_key_pair(), NOON)),
}


def unstamped(webhook: WebhookConfig) -> WebhookConfig:
    """Return the endpoint without the times that the store sets."""
    return replace(webhook, created_at=None, updated_at=None)


def test_an_endpoint_is_kept_whole(world: World) -> None:
    """Every field comes back as it was given, with the store's times."""
    given = a_webhook(workspace_id=world.workspace(), **EVERYTHING)
    with world.units() as unit:
        stored = unit.webhooks.create(given)
        unit.commit()
    with world.units() as unit:
        assert unit.webhooks.get_by_id(given.id) == stored
    assert unstamped(stored) == given
    assert stored.created_at is not None
    assert stored.updated_at == stored.created_at


def test_an_unsigned_endpoint_stays_unsigned(world: World) -> None:
    """No secret is kept as none, not as an empty one."""
    stored = world.webhook(world.workspace(), secret=None)
    assert (stored.secret, stored.secret_unavailable) == (None, False)


def test_an_unknown_endpoint_is_none(world: World) -> None:
    """There is nothing under an unknown id."""
    with world.units() as unit:
        assert unit.webhooks.get_by_id(uuid4()) is None


def test_a_change_is_stored(world: World) -> None:
    """An update replaces what it names and moves ``updated_at`` alone of the times."""
    before = world.webhook(world.workspace())
    wanted = replace(before, **EVERYTHING)
    after = world.change(wanted)
    with world.units() as unit:
        assert unit.webhooks.get_by_id(before.id) == after
    assert unstamped(after) == unstamped(wanted)
    assert after.created_at == before.created_at
    assert after.updated_at is not None
    assert before.updated_at is not None
    assert after.updated_at > before.updated_at


def test_a_change_can_take_secrets_away(world: World) -> None:
    """An update with no secret erases the stored one."""
    signed = world.webhook(world.workspace(), **EVERYTHING)
    world.change(replace(signed, secret=None, secret_hint="", previous_secret=None, previous_secret_expires_at=None))
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(signed.id)
    assert stored is not None
    assert (stored.secret, stored.secret_hint, stored.previous_secret) == (None, "", None)


def test_a_change_can_take_headers_limits_and_a_pause_away(world: World) -> None:
    """None and empty are stored as what they are."""
    nothing: dict[str, Any] = {
        "headers": (),
        "header_names": (),
        "rate_limit_per_s": None,
        "max_concurrency": None,
        "paused_at": None,
    }
    told = world.webhook(world.workspace(), **EVERYTHING)
    world.change(replace(told, **nothing))
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(told.id)
    assert stored is not None
    assert {name: getattr(stored, name) for name in nothing} == nothing
    assert (stored.secret, stored.secret_unavailable) == (EVERYTHING["secret"], False)


def test_what_an_endpoint_is_told_is_in_every_list(world: World) -> None:
    """Headers, limits and a pause come along wherever endpoints are read."""
    told = world.webhook(world.workspace(), **EVERYTHING | {"enabled": True})
    with world.units() as unit:
        assert unit.webhooks.get_all(told.workspace_id) == [told]
        assert unit.webhooks.get_all_enabled() == [told]
        assert unit.webhooks.list_page(told.workspace_id, limit=9) == [told]


def test_what_is_not_there_cannot_be_changed(world: World) -> None:
    """An update of an unknown or deleted endpoint is refused."""
    deleted = world.webhook(world.workspace())
    world.delete(deleted)
    for missing in (deleted, a_webhook(workspace_id=deleted.workspace_id)):
        with pytest.raises(NotFoundError):
            world.change(missing)


def test_only_enabled_endpoints_are_offered(world: World) -> None:
    """The enabled ones are those of one workspace or of all, without the disabled and the deleted."""
    one, other = world.workspace(), world.workspace()
    first, second, third = (world.webhook(workspace_id) for workspace_id in (one, other, one))
    world.webhook(one, enabled=False)
    world.delete(world.webhook(one))
    with world.units() as unit:
        assert unit.webhooks.get_all_enabled(one) == [first, third]
        assert unit.webhooks.get_all_enabled() == [first, second, third]


def test_all_endpoints_of_a_workspace_are_listed_oldest_first(world: World) -> None:
    """The disabled ones are among them; the deleted ones and other workspaces' are not."""
    workspace_id = world.workspace()
    first, second = world.webhook(workspace_id), world.webhook(workspace_id, enabled=False)
    world.delete(world.webhook(workspace_id))
    world.webhook(world.workspace())
    with world.units() as unit:
        assert unit.webhooks.get_all(workspace_id) == [first, second]


def test_pages_go_from_the_newest_on(world: World) -> None:
    """Pages line up without gaps or repetitions, even where one is made or deleted meanwhile."""
    workspace_id = world.workspace()
    made = [world.webhook(workspace_id) for _ in range(5)]
    world.webhook(world.workspace())
    with world.units() as unit:
        first = unit.webhooks.list_page(workspace_id, limit=2)
    world.webhook(workspace_id)
    world.delete(made[2])
    last = first[-1]
    assert last.created_at is not None
    with world.units() as unit:
        rest = unit.webhooks.list_page(workspace_id, limit=9, after=Position(last.created_at, last.id))
    assert [*first, *rest] == [made[4], made[3], made[1], made[0]]


def test_pages_are_cut_through_equal_times(world: World) -> None:
    """Endpoints of one moment, as one transaction may make them, are each on exactly one page."""
    workspace_id = world.workspace()
    with world.units() as unit:
        made = {unit.webhooks.create(a_webhook(workspace_id=workspace_id)).id for _ in range(5)}
        unit.commit()
    seen = []
    after = None
    with world.units() as unit:
        while page := unit.webhooks.list_page(workspace_id, limit=2, after=after):
            seen += [webhook.id for webhook in page]
            assert page[-1].created_at is not None
            after = Position(page[-1].created_at, page[-1].id)
    assert len(seen) == 5
    assert set(seen) == made


def test_deleting_hides_an_endpoint_everywhere(world: World) -> None:
    """A deleted endpoint is found and listed nowhere, and can't be deleted again."""
    webhook = world.webhook(world.workspace())
    assert world.delete(webhook)
    assert not world.delete(webhook)
    with world.units() as unit:
        assert unit.webhooks.get_by_id(webhook.id) is None
        assert unit.webhooks.get_all(webhook.workspace_id) == []
        assert unit.webhooks.get_all_enabled() == []
        assert unit.webhooks.list_page(webhook.workspace_id, limit=9) == []


def test_deleting_what_is_not_there_says_so(world: World) -> None:
    """There is nothing to delete under an unknown id."""
    with world.units() as unit:
        assert not unit.webhooks.delete(uuid4())


def test_deleting_skips_what_waits(world: World) -> None:
    """What is pending becomes skipped with the reason and is not due; what has ended stays as it is."""
    workspace_id = world.workspace()
    ended = world.delivery(workspace_id)
    world.attempt(ended.id)
    [waiting] = [each for each in world.dispatched(world.event(workspace_id)) if each.webhook_id == ended.webhook_id]
    webhook = a_webhook(id=ended.webhook_id, workspace_id=workspace_id)
    assert world.delete(webhook)
    skipped = world.read(workspace_id, waiting.id)
    assert (skipped.status, skipped.error_message) == (DeliveryStatus.SKIPPED, DELETED.message)
    assert (skipped.next_attempt_at, skipped.attempt_count) == (None, 0)
    assert world.read(workspace_id, ended.id).status is DeliveryStatus.SUCCEEDED
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == []


def test_a_claim_of_a_deleted_endpoint_has_no_secrets(world: World) -> None:
    """What is claimed for an endpoint deleted since says why not to send, and holds no secret and no header."""
    workspace_id = world.workspace()
    told = EVERYTHING | {"enabled": True, "paused_at": None, "rate_limit_per_s": None}
    delivery = world.delivery(workspace_id, **told)
    claim = world.claim(delivery.id)
    assert claim.webhook.headers == EVERYTHING["headers"]
    world.delete(claim.webhook)
    assert world.settle(claim, an_attempt_result(status_code=503), wait=timedelta(0))
    again = world.claim(delivery.id)
    assert again.reason_to_skip() == DELETED
    assert (again.webhook.secret, again.webhook.previous_secret, again.webhook.secret_hint) == (
        None,
        None,
        "",
    )
    assert again.webhook.previous_secret_expires_at is None
    assert (again.webhook.headers, again.webhook.header_names) == ((), ())
    assert not again.webhook.secret_unavailable


def test_a_delivery_can_be_added(world: World) -> None:
    """An added delivery comes back as given, with the store's time, and is listed."""
    workspace_id = world.workspace()
    webhook, event = world.webhook(workspace_id), world.event(workspace_id)
    given = a_delivery(webhook_id=webhook.id, event_id=event.id, attempt_count=2, error_message="HTTP 500")
    with world.units() as unit:
        stored = unit.webhooks.add_delivery(given)
        unit.commit()
    with world.units() as unit:
        assert unit.webhooks.get_deliveries(webhook.id) == [stored]
        assert unit.deliveries.list_page(workspace_id, DeliveryFilter(), limit=9) == [stored]
    assert stored.created_at is not None
    assert stored._replace(created_at=None) == given


def test_an_endpoints_deliveries_are_listed_newest_first(world: World) -> None:
    """The list is cut at its limit and holds no other endpoint's."""
    workspace_id = world.workspace()
    webhook, other = world.webhook(workspace_id), world.webhook(workspace_id)
    events = []
    for _ in range(3):
        events.append(world.event(workspace_id))
        assert len(world.dispatched(events[-1])) == 2
    with world.units() as unit:
        listed = unit.webhooks.get_deliveries(webhook.id)
        assert [each.event_id for each in listed] == [event.id for event in reversed(events)]
        assert unit.webhooks.get_deliveries(webhook.id, limit=2) == listed[:2]
        assert {each.webhook_id for each in unit.webhooks.get_deliveries(other.id)} == {other.id}
        assert unit.webhooks.get_deliveries(uuid4()) == []
