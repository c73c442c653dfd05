"""What the system changes by itself is in the audit trail, in both stores: breakers, and endpoints that it disables."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.audit.breakers import TOLD_EVERY
from tests.conformance.model.throttling import (
    MINUTE,
    claim,
    claim_slots,
    dispatch,
    endpoint,
    fail,
    open_breaker,
    settle,
)
from tests.support.builders import a_failure, an_attempt_result, hours

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

OPENED: Final = "webhook.breaker_opened"
CLOSED: Final = "webhook.breaker_closed"


def _entries(world: World, webhook: WebhookConfig) -> list[tuple[str, Any, Any]]:
    """Return what the trail says of an endpoint, oldest first, without moments."""
    found = world.entries(webhook.workspace_id)
    assert {(each.actor_kind, each.actor, each.target_id) for each in found} <= {("system", "worker", str(webhook.id))}
    return [
        (each.action, each.old, {name: value for name, value in (each.new or {}).items() if name != "since"})
        for each in found
    ]


def _close_breaker(world: World) -> None:
    """Have the probe of an open breaker succeed."""
    world.age(MINUTE)
    settle(world, claim_slots(world), an_attempt_result())


def _open_again(world: World, webhook: WebhookConfig) -> None:
    """Have a recovering endpoint fail until its breaker opens."""
    dispatch(world, webhook, 3)
    for _ in range(3):
        settle(world, claim_slots(world, limit=1), a_failure())


def test_a_breaker_that_opens_is_told_at_once(breaking: World) -> None:
    """Failures before it, and after it, are none of the trail's."""
    webhook = endpoint(breaking)
    fail(breaking, webhook, 2)
    assert _entries(breaking, webhook) == []
    fail(breaking, webhook, 2)
    assert _entries(breaking, webhook) == [
        (OPENED, {"breaker": "closed"}, {"breaker": "open", "opened": 1, "closed": 0})
    ]


def test_a_breaker_that_flaps_is_told_once_an_hour_with_a_count(breaking: World) -> None:
    """Nothing is lost: what was not told goes with the first change after the hour."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    for _ in range(3):
        dispatch(breaking, webhook)
        _close_breaker(breaking)
        _open_again(breaking, webhook)
    assert len(_entries(breaking, webhook)) == 1
    dispatch(breaking, webhook)
    breaking.age(TOLD_EVERY)
    _close_breaker(breaking)
    assert _entries(breaking, webhook)[1:] == [
        (CLOSED, {"breaker": "open"}, {"breaker": "closed", "opened": 3, "closed": 4})
    ]


def test_what_a_breaker_did_last_is_told_by_the_sweep(breaking: World) -> None:
    """When its hour is over, once; though it never changes again."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook)
    _close_breaker(breaking)
    assert (breaking.breakers.tell(limit=9), len(_entries(breaking, webhook))) == (0, 1)
    breaking.age(TOLD_EVERY)
    assert breaking.breakers.tell(limit=9) == 1
    assert _entries(breaking, webhook)[1:] == [
        (CLOSED, {"breaker": "open"}, {"breaker": "closed", "opened": 0, "closed": 1})
    ]
    breaking.age(TOLD_EVERY)
    assert breaking.breakers.tell(limit=9) == 0
    assert len(_entries(breaking, webhook)) == 2


def test_the_sweep_tells_of_so_many_at_a_time(breaking: World) -> None:
    """The next one goes on."""
    webhooks = [endpoint(breaking) for _ in range(3)]
    for each in webhooks:
        open_breaker(breaking, each)
        dispatch(breaking, each)
    _close_breaker(breaking)
    breaking.age(TOLD_EVERY)
    assert [breaking.breakers.tell(limit=2) for _ in range(3)] == [2, 1, 0]
    assert [len(_entries(breaking, each)) for each in webhooks] == [2, 2, 2]


def test_an_endpoint_that_is_gone_is_told_with_the_reason(world: World) -> None:
    """It is disabled; the answer that said so is told by its status alone."""
    webhook = endpoint(world)
    ids = dispatch(world, webhook, 2)
    settle(world, list(claim(world, ids[:1], limit=1)), a_failure(status_code=410, response_body="private"))
    [(action, old, new)] = _entries(world, webhook)
    assert (action, old, new["enabled"]) == ("webhook.gone", {"enabled": True}, False)
    assert "410 Gone" in new["disabled_reason"]
    assert "private" not in repr(new)


def test_an_endpoint_that_failed_for_too_long_is_told_once(world: World) -> None:
    """A warning before it is an event, and changes nothing."""
    world = world.under(breaker_failures=0, warn_after=hours(1), disable_after=hours(2), disable_span=hours(0))
    webhook = endpoint(world)
    for _ in range(6):
        fail(world, webhook, 1)
        world.age(timedelta(minutes=30))
    [(action, old, new)] = _entries(world, webhook)
    assert (action, old, new["enabled"]) == ("webhook.disabled", {"enabled": True}, False)
    assert "Every attempt since" in new["disabled_reason"]


def test_one_that_a_person_has_disabled_is_not_disabled_again(world: World) -> None:
    """Whoever comes second changes nothing, and so there is nothing to tell."""
    webhook = endpoint(world)
    dispatch(world, webhook)
    [taken] = claim(world)
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id)
        assert found is not None
        unit.webhooks.delete(found.id)
        unit.commit()
    settle(world, [taken], a_failure(status_code=410))
    assert _entries(world, webhook) == []
