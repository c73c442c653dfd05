"""Erasing a meeting's payloads on request: at once, for good, and with all that may repeat them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.skipping import ERASED
from noteflow_hooks.errors import PreconditionError
from tests.conformance.model.world import SLACK
from tests.support.builders import a_failure, an_attempt_result, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from tests.conformance.model.world import World

ECHO = an_attempt_result(response_body="you said: Weekly")


def erase(world: World, workspace_id: UUID, meeting_id: str = "m-1") -> tuple[int, int]:
    with world.units() as unit:
        counts = unit.events.erase_meeting(workspace_id, meeting_id)
        unit.commit()
    return counts


def read_event(world: World, event: Event) -> Event:
    stored = world.read_event(event)
    assert stored is not None
    return stored


def test_a_meetings_payloads_are_erased(world: World) -> None:
    """All events of that meeting in that workspace lose their payload, and nothing else of them."""
    workspace_id = world.workspace()
    own = [world.event(workspace_id), world.event(workspace_id, event_type="summary.generated")]
    others = [world.event(workspace_id, meeting_id="m-2"), world.event(world.workspace())]
    for event in own:
        assert world.dispatched(event) == []
    before = [read_event(world, event) for event in [*own, *others]]
    assert erase(world, workspace_id) == (2, 0)
    after = [read_event(world, event) for event in [*own, *others]]
    assert after[2:] == before[2:]
    for was, now in zip(before[:2], after[:2], strict=True):
        assert (now.payload, now.payload_erased_at is not None) == (b"{}", True)
        assert replace(now, payload=was.payload, payload_erased_at=None) == was


def test_erasing_twice_erases_once(world: World) -> None:
    """A second call, and one for a meeting without events, find nothing and change nothing."""
    workspace_id = world.workspace()
    event = world.event(workspace_id)
    assert erase(world, workspace_id) == (1, 0)
    stored = read_event(world, event)
    assert erase(world, workspace_id) == (0, 0)
    assert erase(world, workspace_id, "never heard of") == (0, 0)
    assert read_event(world, event) == stored


def test_without_a_commit_nothing_is_erased(world: World) -> None:
    """A unit of work that is rolled back leaves the payload and what waits as they were."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    with world.units() as unit:
        assert unit.events.erase_meeting(workspace_id, "m-1") == (1, 1)
    assert world.read(workspace_id, delivery.id) == delivery
    assert world.claim(delivery.id).reason_to_skip() is None


def test_what_waits_is_skipped(world: World) -> None:
    """A pending delivery, held or not, is skipped with the reason, and never claimed."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    world.webhook(workspace_id, rate_limit_per_s=1.0)
    waiting = world.dispatched(world.event(workspace_id))
    assert sorted(each.held for each in waiting) == [False, True]
    assert erase(world, workspace_id) == (1, 2)
    for each in waiting:
        stored = world.read(workspace_id, each.id)
        assert (stored.status, stored.error_message) == (DeliveryStatus.SKIPPED, ERASED.message)
        assert (stored.next_attempt_at, stored.held, stored.attempt_count) == (None, False, 0)
    assert not world.deliveries.claim([each.id for each in waiting], limit=9, lease_slack=SLACK)
    assert not world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)


def test_what_was_not_dispatched_never_is(world: World) -> None:
    """An event that waits to be matched is dispatched without deliveries."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    event = world.event(workspace_id)
    assert erase(world, workspace_id) == (1, 0)
    assert read_event(world, event).dispatched_at is not None
    assert world.dispatched(event) == []
    assert world.deliveries.undispatched(older_than=hours(-1), limit=9) == []


def test_a_fan_out_is_cut_off(world: World) -> None:
    """An event that was matched with some of its endpoints reaches no others, and those it has are skipped."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id)
    event = world.event(workspace_id)
    assert world.deliveries.dispatch([event.id], limit=2).more
    assert erase(world, workspace_id) == (1, 2)
    assert [each.status for each in world.dispatched(event)] == [DeliveryStatus.SKIPPED] * 2


def test_an_attempt_under_way_is_the_last_one(world: World) -> None:
    """What was claimed before ends as it ends; where it fails, there is no other attempt."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    claim = world.claim(delivery.id)
    assert erase(world, workspace_id) == (1, 0)
    assert world.settle(claim, a_failure(), wait=hours(0))
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.attempt_count, stored.error_message) == (DeliveryStatus.PENDING, 1, "HTTP 500")
    again = world.claim(delivery.id)
    assert (again.reason_to_skip(), again.payload) == (ERASED, b"{}")


def test_an_attempt_under_way_may_succeed(world: World) -> None:
    """A success is one, and its answer, which may repeat the payload, is not stored."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    claim = world.claim(delivery.id)
    erase(world, workspace_id)
    assert world.settle(claim, ECHO)
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.status_code) == (DeliveryStatus.SUCCEEDED, 200)
    assert (stored.response_body, stored.error_message) == (None, None)
    [attempt] = world.attempts(delivery.id)
    assert (attempt.status_code, attempt.response_body) == (200, None)


def test_an_answer_stays_erased_where_a_claim_is_given_back(world: World) -> None:
    """A worker that knows the last answer from its claim does not store it anew."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id, **{name: getattr(a_failure(), name) for name in ("error_kind", "error_message")})
    claim = world.claim(delivery.id)
    assert claim.delivery.response_body == "ok"
    erase(world, workspace_id)
    assert world.deliveries.settle([Settlement(claim.delivery.released(), wait=hours(0))]).fencing_keys == {
        (delivery.id, 2)
    }
    assert world.read(workspace_id, delivery.id).response_body is None


def test_what_receivers_answered_is_erased(world: World) -> None:
    """The answers of deliveries and attempts go, also of those that have ended; another meeting's stay."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    [own], [other] = (world.dispatched(world.event(workspace_id, meeting_id=name)) for name in ("m-1", "m-2"))
    for delivery in (own, other):
        assert world.settle(world.claim(delivery.id), a_failure(response_body=ECHO.response_body), wait=hours(0))
        assert world.settle(world.claim(delivery.id), ECHO)
    before = world.read(workspace_id, own.id), world.attempts(own.id)
    kept = world.read(workspace_id, other.id), world.attempts(other.id)
    assert erase(world, workspace_id) == (1, 0)
    assert world.read(workspace_id, own.id) == before[0]._replace(response_body=None)
    assert world.attempts(own.id) == [replace(each, response_body=None) for each in before[1]]
    assert (world.read(workspace_id, other.id), world.attempts(other.id)) == kept


def test_an_erased_event_is_not_sent_again(world: World) -> None:
    """Sending again is refused with the reason."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id)
    erase(world, workspace_id)
    with pytest.raises(PreconditionError, match="erased"):
        world.send_again(workspace_id, delivery.id)


def test_a_key_goes_on_to_stand_for_an_erased_event(world: World) -> None:
    """The same request again returns the event, without a payload, and sends nothing."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    first = world.event(workspace_id, idempotency_key="k", request_digest=b"same")
    erase(world, workspace_id)
    again = world.event(workspace_id, idempotency_key="k", request_digest=b"same")
    assert (again.id, again.payload) == (first.id, b"{}")
    assert world.dispatched(again) == []
