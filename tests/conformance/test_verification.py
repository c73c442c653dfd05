"""Endpoints that have yet to answer a challenge, in both stores: what waits, what goes, and what an answer changes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.audit.entries import Action
from noteflow_hooks.domain.challenges import CHALLENGE_LASTS, EXPIRED, NEVER_ASKED, VOID, Verification
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.domain.verification import asked_anew, registered, updated, verification_event
from tests.conformance.model.throttling import claim, claim_slots, dispatch, endpoint, open_breaker
from tests.conformance.model.world import EXPIRED as ENDED
from tests.support.builders import EXACT, a_failure, a_webhook, an_attempt_result

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

NEW: Final = "https://new.example/hooks"


def now() -> datetime:
    return datetime.now(UTC)


def asked(world: World, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    """Store an endpoint that is not verified, and the event that asks it."""
    made = registered(a_webhook(**overrides), now=now())
    return ask(world, endpoint(world, verification=made.verification, **overrides))


def moving(world: World, webhook: WebhookConfig, url: str = NEW) -> WebhookConfig:
    """Have an endpoint asked to move."""
    after = updated(webhook, replace(webhook, url=url), names_url=True, is_required=True, now=now())
    return ask(world, world.change(after))


def ask(world: World, webhook: WebhookConfig) -> WebhookConfig:
    challenge = webhook.verification.challenge
    assert challenge is not None
    with world.units() as unit:
        unit.events.append(verification_event(webhook, challenge, now=now()))
        unit.commit()
    while world.deliveries.dispatch([challenge.event_id], limit=100).more:
        pass
    return webhook


def challenge_id(world: World, webhook: WebhookConfig) -> UUID:
    """Return the delivery that carries the endpoint's challenge."""
    assert webhook.verification.challenge is not None
    with world.units() as unit:
        [found] = unit.deliveries.get_by_event(webhook.verification.challenge.event_id)
    return found.id


def answer(world: World, webhook: WebhookConfig, result: AttemptResult | None = None) -> Claim:
    """Claim the challenge and settle it, with the right answer where nothing else is said."""
    claimed = world.claim(challenge_id(world, webhook))
    world.settle(claimed, result if result is not None else an_attempt_result())
    return claimed


def stored(world: World, webhook: WebhookConfig) -> WebhookConfig:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(webhook.id, with_deleted=True)
    assert found is not None
    return found


def reason(world: World, webhook: WebhookConfig, delivery_id: UUID) -> str | None:
    with world.units() as unit:
        delivery = unit.deliveries.get_by_id(webhook.workspace_id, delivery_id)
        assert delivery is not None
        return unit.deliveries.reasons([delivery]).get(delivery_id)


def test_what_an_endpoint_is_asked_comes_back_as_it_was_stored(world: World) -> None:
    """One that was never asked has the very same value as all such, also beside others' in a list."""
    plain, new = endpoint(world), asked(world)
    assert stored(world, plain).verification is NEVER_ASKED
    assert stored(world, new).verification == new.verification
    move = moving(world, plain)
    assert stored(world, move).verification == move.verification
    assert stored(world, move).verification.pending_url == NEW


def test_nothing_but_the_challenge_goes_to_one_that_is_not_verified(world: World) -> None:
    """The rest is throttled, pending, with the reason and without a slot; then it goes."""
    webhook = asked(world)
    waiting = dispatch(world, webhook, 2)
    claimed = list(claim(world, waiting))
    assert [each.delivery.id for each in claimed] == [challenge_id(world, webhook)]
    assert claim_slots(world) == []
    assert world.deliveries.count_throttled(limit=9).quick == 0
    for each in waiting:
        assert world.read(webhook.workspace_id, each).status is DeliveryStatus.PENDING
        assert "not verified" in (reason(world, webhook, each) or "")
    world.settle(claimed[0], an_attempt_result())
    assert sorted(each.delivery.id for each in claim_slots(world)) == sorted(waiting)


def test_what_is_dispatched_and_claimed_at_once_waits_too(world: World) -> None:
    """A dispatch that leases leases nothing of it."""
    webhook = asked(world)
    event = world.event(webhook.workspace_id)
    made = world.deliveries.dispatch([event.id], limit=10, claim=10, lease_slack=timedelta(seconds=10))
    assert (made.claims, made.delivery_ids) == ((), ())


def test_an_answer_verifies_and_is_on_record(world: World) -> None:
    """Once: the challenge is gone, and the entry names the system."""
    webhook = asked(world)
    answer(world, webhook)
    found = stored(world, webhook)
    assert found.verification.unverified_since is None
    assert found.verification.challenge is None
    assert found.verified_at is not None
    [entry] = world.entries(webhook.workspace_id)
    assert (entry.action, entry.actor_kind, entry.target_id) == (Action.WEBHOOK_VERIFIED, "system", str(webhook.id))
    assert (entry.old, entry.new) == ({"verified": False}, {"verified": True})


def test_a_moved_endpoint_gets_deliveries_at_its_old_url_until_the_new_one_answers(world: World) -> None:
    """The challenge alone goes to the new one. Then all does, and its health starts anew."""
    webhook = moving(world, endpoint(world))
    [delivery] = dispatch(world, webhook)
    sent = {each.delivery.id: each for each in claim(world, [delivery])}
    assert sent[delivery].webhook.url == webhook.url
    asking = sent[challenge_id(world, webhook)]
    assert (asking.webhook.url, asking.webhook.id) == (NEW, webhook.id)
    world.settle(asking, an_attempt_result())
    assert (stored(world, webhook).url, stored(world, webhook).verification.pending_url) == (NEW, None)
    [entry] = world.entries(webhook.workspace_id)
    assert entry.action == Action.WEBHOOK_MOVED
    assert entry.old == {"pending_url": "https://new.example/…", "url": "https://receiver.example/…"}
    assert entry.new == {"pending_url": None, "url": "https://new.example/…"}


def test_a_move_closes_the_breaker(breaking: World) -> None:
    """As a change of URL does; a challenge goes out while the breaker is open."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    [waiting] = dispatch(breaking, webhook)
    assert claim_slots(breaking) == []
    answer(breaking, moving(breaking, webhook))
    assert [each.delivery.id for each in claim_slots(breaking)] == [waiting]


def test_a_challenge_goes_out_while_paused_and_again_after_each_failure(world: World) -> None:
    """Its retries pass the pause, as the first attempt does, and so does one that a crash cut off."""
    webhook = asked(world, paused_at=now())
    [waiting] = dispatch(world, webhook)
    for _ in range(2):
        claimed = world.claim(challenge_id(world, webhook))
        assert world.settle(claimed, a_failure(), wait=timedelta(0))
    world.claim(challenge_id(world, webhook), slack=ENDED)
    assert world.deliveries.reclaim_expired(limit=10) == 1
    answer(world, webhook)
    assert stored(world, webhook).verified_at is not None
    assert (list(claim(world, [waiting])), claim_slots(world)) == ([], [])
    world.change(replace(stored(world, webhook), paused_at=None))
    assert [each.delivery.id for each in claim_slots(world)] == [waiting]


def test_what_a_challenge_came_to_says_nothing_of_the_endpoint_s_health(breaking: World) -> None:
    """Neither its failures, nor 410, which would disable it, nor that it took long: another URL may have answered."""
    webhook = moving(breaking, endpoint(breaking, max_retries=9))
    gone = a_failure(status_code=410, error_message="HTTP 410")
    slow = a_failure(duration_ms=29_000, error_kind=ErrorKind.TIMEOUT, status_code=None)
    for result in (a_failure(), slow, a_failure(), gone):
        claimed = breaking.claim(challenge_id(breaking, webhook))
        after, wait = claimed.delivery.attempted(result, max_retries=9, policy=EXACT, draw=0.5)
        assert after.status is (DeliveryStatus.DEAD if result is gone else DeliveryStatus.PENDING)
        breaking.settle(claimed, result, wait=wait and timedelta(0))
    assert stored(breaking, webhook).enabled
    with breaking.units() as unit:
        assert unit.webhooks.get_health([webhook.id])[webhook.id].is_clean
    [delivery] = dispatch(breaking, webhook)
    assert [each.delivery.id for each in claim(breaking, [delivery])] == [delivery]


@pytest.mark.parametrize("is_move", [False, True], ids=["new", "moving"])
def test_an_answer_to_a_voided_challenge_changes_nothing(world: World, *, is_move: bool) -> None:
    """Neither one that was under way when another was asked, nor one that is claimed afterwards."""
    webhook = moving(world, endpoint(world)) if is_move else asked(world)
    first, under_way = challenge_id(world, webhook), world.claim(challenge_id(world, webhook))
    webhook = ask(world, world.change(asked_anew(webhook, now=now())))
    assert world.settle(under_way, an_attempt_result())
    assert stored(world, webhook).verification == webhook.verification
    assert world.read(webhook.workspace_id, first).status is DeliveryStatus.SUCCEEDED
    answer(world, webhook)
    assert not stored(world, webhook).verification.is_awaited
    assert world.entries(webhook.workspace_id)[0].action in (Action.WEBHOOK_VERIFIED, Action.WEBHOOK_MOVED)


def test_void_and_expired_challenges_are_skipped_with_the_reason(world: World) -> None:
    """Nothing is sent; a worker that claims them sees why."""
    webhook = asked(world)
    world.change(asked_anew(webhook, now=now()))
    assert world.claim(challenge_id(world, webhook)).reason_to_skip() == (VOID, None)
    old = asked_anew(webhook, now=now() - CHALLENGE_LASTS + timedelta(seconds=5))
    ask(world, world.change(old))
    assert world.claim(challenge_id(world, old)).reason_to_skip() == (EXPIRED, None)


def test_an_answer_counts_once_and_for_the_newest_claim_only(world: World) -> None:
    """One that comes from a worker whose lease had ended changes nothing."""
    webhook = asked(world)
    late = world.claim(challenge_id(world, webhook), slack=ENDED)
    world.deliveries.reclaim_expired(limit=10)
    world.settle(late, an_attempt_result())
    assert stored(world, webhook).verified_at is None
    answer(world, webhook)
    assert stored(world, webhook).verified_at is not None


def test_disabling_skips_the_challenge_and_deleting_erases_it(world: World) -> None:
    """With the secrets; the delivery ends with the reason."""
    webhook = asked(world)
    delivery_id = challenge_id(world, webhook)
    disabled = world.change(replace(webhook, enabled=False))
    assert world.read(webhook.workspace_id, delivery_id).status is DeliveryStatus.SKIPPED
    assert world.delete(disabled)
    gone = stored(world, webhook).verification
    assert (gone.challenge, gone.pending_url) == (None, None)


def test_the_stored_event_has_no_challenge(world: World) -> None:
    """Whoever lists events or reads the delivery sees a mark; the worker's claim has the text."""
    webhook = asked(world)
    challenge = webhook.verification.challenge
    assert challenge is not None
    with world.units() as unit:
        event = unit.events.get_by_id(challenge.event_id)
    assert event is not None
    assert challenge.text.encode() not in event.payload
    assert json.loads(world.claim(challenge_id(world, webhook)).payload)["challenge"] == challenge.text


def test_no_replay_takes_a_challenge_along(world: World) -> None:
    """What it matched would be void."""
    webhook = asked(world)
    world.settle(world.claim(challenge_id(world, webhook)), a_failure(status_code=410))
    with world.units() as unit:
        assert unit.replays.preview(Replay.create(webhook.workspace_id, DeliveryFilter())).matched == 0


def test_one_that_was_not_verified_stays_so_when_it_is_changed_otherwise(world: World) -> None:
    """Its state is its own, whatever else is stored."""
    webhook = asked(world)
    world.change(replace(webhook, name="other", max_retries=7))
    assert stored(world, webhook).verification == webhook.verification
    assert isinstance(stored(world, webhook).verification, Verification)
