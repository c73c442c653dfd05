"""By what a delivery is rendered: fixed at its first claim in both stores, and anew where it is sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.renderings import LOOK_AGAIN_AFTER, EventFacts
from noteflow_hooks.rendering.claims import rendered_claim
from tests.conformance.model.replaying import begin, step
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import EXACT, a_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

CLOUDEVENTS: Final = EndpointOptions(format=Format.CLOUDEVENTS)
STANDARD: Final = EndpointOptions(format=Format.STANDARD)
WAYS: Final[dict[str, Callable[[World, UUID], Claim]]] = {}


def way(make: Callable[[World, UUID], Claim]) -> Callable[[World, UUID], Claim]:
    WAYS[make.__name__] = make
    return make


@way
def as_it_is_made(world: World, event_id: UUID) -> Claim:
    [claim] = world.deliveries.dispatch([event_id], limit=9, claim=9, lease_slack=SLACK).claims
    return claim


@way
def as_it_is_due(world: World, event_id: UUID) -> Claim:
    made = world.deliveries.dispatch([event_id], limit=9)
    return world.claim(made.delivery_ids[0])


@way
def as_its_slot_comes(world: World, event_id: UUID) -> Claim:
    with world.units() as unit:
        event = unit.events.get_by_id(event_id)
    assert event is not None
    [webhook] = all_of(world, event.workspace_id)
    world.change(replace(webhook, rate_limit_per_s=1000.0))
    world.deliveries.dispatch([event_id], limit=9)
    [claim] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    return claim


def all_of(world: World, workspace_id: UUID) -> list[WebhookConfig]:
    with world.units() as unit:
        return list(unit.webhooks.get_all(workspace_id))


def claimed(world: World, delivery_id: UUID) -> Claim:
    """Claim that delivery, whose endpoint was changed: so it may have to go in that one's slot."""
    found: list[Claim] = [
        *world.deliveries.claim([delivery_id], limit=9, lease_slack=SLACK),
        *world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK),
    ]
    return next(each for each in found if each.delivery.id == delivery_id)


def again(world: World, claim: Claim, **overrides: Any) -> Claim:  # noqa: ANN401 - the endpoint's fields
    """Fail the attempt, change the endpoint, and claim the retry."""
    assert world.settle(claim, a_failure(), wait=timedelta(0))
    world.change(replace(claim.webhook, **overrides))
    return claimed(world, claim.delivery.id)


@pytest.mark.parametrize("make", WAYS)
def test_every_first_claim_fixes_it(world: World, make: str) -> None:
    """And brings along what the renderer needs of the event; of an endpoint without a format, neither."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, options=CLOUDEVENTS)
    event = world.event(workspace_id)
    claim = WAYS[make](world, event.id)
    assert claim.delivery.rendering == "cloudevents/1/1"
    assert claim.facts == EventFacts(event.meeting_id, event.occurred_at)
    assert world.read(workspace_id, claim.delivery.id) == claim.delivery
    assert str(webhook.workspace_id).encode() in rendered_claim(claim)[0].body


@pytest.mark.parametrize("make", WAYS)
def test_the_usual_has_none(world: World, make: str) -> None:
    """Nothing is stored of it, and nothing is read for it."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    claim = WAYS[make](world, world.event(workspace_id).id)
    assert (claim.delivery.rendering, claim.facts) == (None, None)
    assert world.read(workspace_id, claim.delivery.id).rendering is None


def test_what_is_only_made_has_none_yet(world: World) -> None:
    """The endpoint may still change before anything is sent of it."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, options=CLOUDEVENTS)
    [delivery] = world.dispatched(world.event(workspace_id))
    assert delivery.rendering is None
    world.change(replace(webhook, options=STANDARD))
    assert claimed(world, delivery.id).delivery.rendering == "standard/1/1"


@pytest.mark.parametrize("then", [STANDARD, EndpointOptions()], ids=["another", "none"])
@pytest.mark.parametrize("make", WAYS)
def test_a_retry_keeps_it(world: World, make: str, then: EndpointOptions) -> None:
    """Whatever the endpoint wants by then: the bytes are those of the first attempt."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, options=CLOUDEVENTS)
    first = WAYS[make](world, world.event(workspace_id).id)
    retry = again(world, replace(first, webhook=replace(first.webhook, rate_limit_per_s=None)), options=then)
    assert retry.webhook.options == then
    assert retry.delivery.rendering == "cloudevents/1/1"
    assert rendered_claim(retry)[0] == rendered_claim(first)[0]


def test_a_retry_of_the_usual_stays_the_usual(world: World) -> None:
    """Though its row says nothing."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id))
    assert again(world, world.claim(delivery.id), options=CLOUDEVENTS).delivery.rendering is None


def test_what_a_crash_cut_off_stays_the_usual(world: World) -> None:
    """It may have been sent, for all that anybody knows."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id))
    world.claim(delivery.id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1
    world.change(replace(webhook, options=CLOUDEVENTS))
    assert claimed(world, delivery.id).delivery.rendering is None


@pytest.mark.parametrize("how", ["one by one", "as a replay"])
def test_what_is_sent_again_is_rendered_anew(world: World, how: str) -> None:
    """By what its endpoint wants at that moment; the settled row shows by what it was rendered."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, options=CLOUDEVENTS)
    [delivery] = world.dispatched(world.event(workspace_id))
    assert world.settle(world.claim(delivery.id), a_failure(status_code=410, error_message="HTTP 410"))
    assert world.read(workspace_id, delivery.id).rendering == "cloudevents/1/1"
    world.change(replace(webhook, options=STANDARD))
    if how == "one by one":
        world.send_again(workspace_id, delivery.id)
        claim = world.claim(delivery.id)
    else:
        begin(world, workspace_id, status=DeliveryStatus.DEAD)
        assert step(world) == 1
        [claim] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    assert claim.delivery.id == delivery.id
    assert claim.delivery.rendering == "standard/1/1"


def test_what_awaits_a_newer_release_is_given_back(world: World) -> None:
    """It is due again after a while, and has used up nothing."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, options=CLOUDEVENTS)
    [delivery] = world.dispatched(world.event(workspace_id))
    claim = world.claim(delivery.id)
    newer = replace(claim, delivery=claim.delivery._replace(rendering="cloudevents/1/9"))
    world.deliveries.settle([newer.settlement(None, policy=EXACT, draw=lambda: 0.5)])
    after = world.read(workspace_id, delivery.id)
    assert (after.status, after.attempt_count, after.budget_used, after.interruptions) == ("pending", 0, 0, 0)
    [(key, wait)] = world.deliveries.waits([delivery.id]).items()
    assert key == delivery.id
    assert timedelta(0) < wait <= LOOK_AGAIN_AFTER
