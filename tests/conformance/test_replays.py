"""Replays: many deliveries are sent again at a rate, each once, whatever happens between two steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter, Position
from noteflow_hooks.domain.replays import RUNNING_LIMIT, Replay, ReplayState
from noteflow_hooks.errors import LimitError, NotFoundError, PreconditionError
from noteflow_hooks.maintenance.replays import advance_replays
from tests.conformance.model.world import SLACK
from tests.conformance.test_concurrency import at_once
from tests.support.builders import a_failure, an_attempt_result

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.replays import Redelivery
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
#: As fast as replays go: what is there is made due in one step.
FAST = 10_000.0


def begin(world: World, workspace_id: UUID, *, rate_per_s: float = FAST, **criteria: Any) -> Replay:  # noqa: ANN401 - the filter's fields
    with world.units() as unit:
        asked = Replay.create(workspace_id, DeliveryFilter(**criteria), rate_per_s=rate_per_s)
        stored = unit.replays.create(asked)
        unit.commit()
    return stored


def step(world: World, *, limit: int = 100) -> int | None:
    """Take the next step, of a time at which there is one again."""
    world.age(SECOND)
    return step_now(world, limit=limit)


def step_now(world: World, *, limit: int = 100) -> int | None:
    with world.units() as unit:
        sent = unit.replays.advance(limit=limit)
        unit.commit()
    return sent


def read(world: World, replay: Replay) -> Replay:
    with world.units() as unit:
        found = unit.replays.get(replay.workspace_id, replay.id)
    assert found is not None
    return found


def redeliveries(world: World, delivery: WebhookDelivery) -> list[Redelivery]:
    with world.units() as unit:
        return list(unit.deliveries.redeliveries(delivery.id))


def settled(world: World, webhook: WebhookConfig, *, ok: bool = False) -> WebhookDelivery:
    """Store an event whose delivery to the endpoint succeeds, or dies of one attempt."""
    made = world.dispatched(world.event(webhook.workspace_id))
    [delivery] = [each for each in made if each.webhook_id == webhook.id]
    result = an_attempt_result() if ok else a_failure()
    assert world.settle(world.claim(delivery.id), result)
    return world.read(webhook.workspace_id, delivery.id)


def endpoint(world: World, workspace_id: UUID | None = None, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    owner = workspace_id if workspace_id is not None else world.workspace()
    return world.webhook(owner, max_retries=1, **overrides)


def status_of(world: World, delivery: WebhookDelivery, webhook: WebhookConfig) -> DeliveryStatus:
    return world.read(webhook.workspace_id, delivery.id).status


def test_a_replay_makes_due_what_was_not_delivered(world: World) -> None:
    """Dead and skipped ones wait for their endpoint's turn, with a fresh budget; others stay as they are."""
    webhook = endpoint(world)
    dead, succeeded = settled(world, webhook), settled(world, webhook, ok=True)
    disabled = world.change(replace(webhook, enabled=False))
    [skipped] = world.dispatched(world.event(webhook.workspace_id))
    webhook = world.change(replace(disabled, enabled=True))
    replay = begin(world, webhook.workspace_id)
    assert (replay.state, replay.matched, replay.sent) == (ReplayState.RUNNING, 2, 0)
    assert step(world) == 2
    done = read(world, replay)
    assert (done.state, done.matched, done.sent) == (ReplayState.DONE, 2, 2)
    assert done.finished_at is not None
    for before in (dead, skipped):
        after = world.read(webhook.workspace_id, before.id)
        assert after.next_attempt_at is not None
        assert after.next_attempt_at <= datetime.now(UTC) + SECOND
        assert replace(after, next_attempt_at=None, created_at=before.created_at) == replace(
            before, status=DeliveryStatus.PENDING, held=True, budget_used=0
        )
    assert status_of(world, succeeded, webhook) is DeliveryStatus.SUCCEEDED
    claims = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    assert {each.delivery.id for each in claims} == {dead.id, skipped.id}


def test_each_time_is_on_record_with_what_was_before(world: World) -> None:
    """By whom it was sent again, from which status, after how many attempts."""
    webhook = endpoint(world)
    delivery = settled(world, webhook)
    replay = begin(world, webhook.workspace_id)
    assert step(world) == 1
    [claim] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    assert world.settle(claim, an_attempt_result())
    world.send_again(webhook.workspace_id, delivery.id)
    first, second = redeliveries(world, delivery)
    assert (first.replay_id, first.previous_status, first.after_attempt) == (replay.id, DeliveryStatus.DEAD, 1)
    assert (second.replay_id, second.previous_status, second.after_attempt) == (None, DeliveryStatus.SUCCEEDED, 2)
    assert first.requested_at <= second.requested_at


def test_a_replay_s_filters_narrow_it(world: World) -> None:
    """By endpoint, status and type, alone and together; another workspace's are out of reach."""
    workspace_id = world.workspace()
    one, other = (endpoint(world, workspace_id) for _ in range(2))
    settled(world, one)
    settled(world, one, ok=True)
    # What these two events made for the other endpoint.
    for each in world.deliveries.claim([], limit=9, lease_slack=SLACK):
        assert world.settle(each, a_failure())
    settled(world, endpoint(world))
    for criteria, matched in (
        ({}, 3),
        ({"webhook_id": one.id}, 1),
        ({"webhook_id": other.id}, 2),
        ({"status": DeliveryStatus.DEAD}, 3),
        ({"status": DeliveryStatus.SKIPPED}, 0),
        ({"status": DeliveryStatus.SUCCEEDED}, 1),
        ({"event_type": "meeting.completed", "webhook_id": other.id}, 2),
        ({"event_type": "summary.generated"}, 0),
        ({"webhook_id": uuid4()}, 0),
    ):
        with world.units() as unit:
            preview = unit.replays.preview(Replay.create(workspace_id, DeliveryFilter(**criteria)))
        assert preview.matched == matched, criteria
    begin(world, workspace_id, webhook_id=other.id)
    assert step(world) == 2
    assert step(world) is None


def test_a_replay_s_times_bound_it_from_and_before(world: World) -> None:
    """The first bound belongs to the range and the second doesn't."""
    webhook = endpoint(world)
    made = settled(world, webhook).created_at
    assert made is not None
    for after, before, matched in (
        (made, None, 1),
        (made + TICK, None, 0),
        (None, made, 0),
        (made, made + TICK, 1),
    ):
        criteria = DeliveryFilter(created_after=after, created_before=before)
        with world.units() as unit:
            preview = unit.replays.preview(Replay.create(webhook.workspace_id, criteria))
        assert preview.matched == matched, (after, before)


def test_a_preview_stores_nothing(world: World) -> None:
    """It tells how many match, and that is all."""
    webhook = endpoint(world)
    settled(world, webhook)
    with world.units() as unit:
        preview = unit.replays.preview(Replay.create(webhook.workspace_id, DeliveryFilter()))
        unit.commit()
    assert preview.matched == 1
    with world.units() as unit:
        assert unit.replays.list_page(webhook.workspace_id, limit=9) == []
    assert step(world) is None


def test_steps_go_on_oldest_first_and_behind_the_last_one(world: World) -> None:
    """Of one fan-out too, whose deliveries are of one moment; what dies again meanwhile has had its time."""
    workspace_id = world.workspace()
    for _ in range(3):
        endpoint(world, workspace_id)
    event = world.event(workspace_id)
    fan_out = world.dispatched(event)
    for each in fan_out:
        assert world.settle(world.claim(each.id), a_failure())
    replay = begin(world, workspace_id)
    seen: list[UUID] = []
    for _ in range(3):
        assert step(world, limit=1) == 1
        [claim] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
        seen.append(claim.delivery.id)
        assert world.settle(claim, a_failure())
    assert seen == [each.id for each in fan_out]
    assert step(world) is None
    assert (read(world, replay).state, read(world, replay).sent) == (ReplayState.DONE, 3)
    assert all(len(redeliveries(world, each)) == 1 for each in fan_out)


def test_what_comes_later_is_not_sent_again(world: World) -> None:
    """A replay ends with what there was when it began, even if it was asked for a later time."""
    webhook = endpoint(world)
    settled(world, webhook)
    replay = begin(world, webhook.workspace_id, created_before=datetime.now(UTC) + timedelta(days=1))
    assert replay.criteria.created_before == replay.created_at
    later = settled(world, webhook)
    assert step(world) == 1
    assert step(world) is None
    assert status_of(world, later, webhook) is DeliveryStatus.DEAD


def test_a_step_that_was_rolled_back_is_taken_anew(world: World) -> None:
    """Nothing of it is left; the next one sends each again once."""
    webhook = endpoint(world)
    made = [settled(world, webhook) for _ in range(3)]
    replay = begin(world, webhook.workspace_id)
    assert step(world, limit=1) == 1
    world.age(SECOND)
    with world.units() as unit:
        assert unit.replays.advance(limit=100) == 2
    assert (read(world, replay).state, read(world, replay).sent) == (ReplayState.RUNNING, 1)
    assert [len(redeliveries(world, each)) for each in made] == [1, 0, 0]
    assert step(world) == 2
    assert (read(world, replay).state, read(world, replay).sent) == (ReplayState.DONE, 3)
    assert [len(redeliveries(world, each)) for each in made] == [1, 1, 1]


def test_a_replay_keeps_its_rate(world: World) -> None:
    """After eight seconds four may go at one in two seconds, and then none for a while."""
    webhook = endpoint(world)
    for _ in range(20):
        settled(world, webhook)
    sent = Pace(world, webhook, rate_per_s=0.5)
    sent.step(at_least=0)
    sent.let_pass(8 * SECOND)
    sent.step(at_least=4)
    sent.step(at_least=4)
    sent.let_pass(2 * SECOND)
    sent.step(at_least=5)


def test_a_replay_does_not_catch_up_on_a_long_standstill(world: World) -> None:
    """Of a day in which no worker ran, ten seconds count."""
    webhook = endpoint(world)
    for _ in range(20):
        settled(world, webhook)
    sent = Pace(world, webhook, rate_per_s=0.5)
    world.age(timedelta(days=1))
    sent.let_pass(timedelta(0), counted=10 * SECOND)
    assert sent.step(at_least=5) == 5
    sent.step(at_least=5)


class Pace:
    """A replay, and how many it may have sent by now: by what time passed, the test's own with it."""

    def __init__(self, world: World, webhook: WebhookConfig, *, rate_per_s: float) -> None:
        self._world, self._rate_per_s = world, rate_per_s
        self._began, self._counted = time.monotonic(), timedelta(0)
        self._sent = 0
        begin(world, webhook.workspace_id, rate_per_s=rate_per_s)

    def let_pass(self, by: timedelta, *, counted: timedelta | None = None) -> None:
        """Let so much time pass, of which so much counts, else all."""
        self._world.age(by)
        self._counted += counted if counted is not None else by

    def step(self, *, at_least: int) -> int:
        """Take a step, see to it that no more have gone than may and so many at the least, and return its own."""
        sent = step_now(self._world) or 0
        self._sent += sent
        passed_s = self._counted.total_seconds() + time.monotonic() - self._began
        assert at_least <= self._sent <= math.floor(self._rate_per_s * passed_s)
        return sent


def test_the_replay_that_has_waited_longest_has_the_next_step(world: World) -> None:
    """So a large one keeps nobody else waiting."""
    large, small = endpoint(world), endpoint(world)
    for webhook, count in ((large, 4), (small, 1)):
        for _ in range(count):
            settled(world, webhook)
    first, second = begin(world, large.workspace_id, rate_per_s=1), begin(world, small.workspace_id, rate_per_s=1)
    world.age(3 * SECOND)
    assert step_now(world, limit=2) == 2
    assert (read(world, first).sent, read(world, second).sent) == (2, 0)
    assert step_now(world, limit=2) == 1
    assert read(world, second).state is ReplayState.DONE


def test_endpoints_that_nothing_is_sent_to_are_passed_over(world: World) -> None:
    """Disabled and deleted ones, also those that become so while the replay runs."""
    workspace_id = world.workspace()
    webhooks = [endpoint(world, workspace_id) for _ in range(4)]
    deliveries = world.dispatched(world.event(workspace_id))
    for each in deliveries:
        assert world.settle(world.claim(each.id), a_failure())
    world.change(replace(webhooks[0], enabled=False))
    world.delete(webhooks[1])
    replay = begin(world, workspace_id)
    assert replay.matched == 2
    world.change(replace(webhooks[2], enabled=False))
    assert step(world) == 1
    assert (read(world, replay).state, read(world, replay).sent) == (ReplayState.DONE, 1)
    pending = [each for each in deliveries if status_of(world, each, webhooks[0]) is DeliveryStatus.PENDING]
    assert [each.webhook_id for each in pending] == [webhooks[3].id]


def test_what_has_nothing_to_send_any_more_is_passed_over(world: World) -> None:
    """Once its event's payload is erased, it is sent again neither by a replay nor alone."""
    webhook = endpoint(world)
    [erased] = world.dispatched(world.event(webhook.workspace_id, meeting_id="m-2"))
    assert world.settle(world.claim(erased.id), a_failure())
    kept = settled(world, webhook)
    replay = begin(world, webhook.workspace_id)
    with world.units() as unit:
        unit.events.erase_meeting(webhook.workspace_id, "m-2")
        unit.commit()
    assert step(world) == 1
    assert (read(world, replay).matched, read(world, replay).state) == (2, ReplayState.DONE)
    assert status_of(world, kept, webhook) is DeliveryStatus.PENDING
    with pytest.raises(PreconditionError, match="its event's payload is erased"):
        world.send_again(webhook.workspace_id, erased.id)
    assert redeliveries(world, erased) == []


def test_a_replay_of_nothing_is_done_with_its_first_step(world: World) -> None:
    """It is no error that nothing matches."""
    replay = begin(world, world.workspace())
    assert step(world) == 0
    assert (read(world, replay).state, read(world, replay).sent) == (ReplayState.DONE, 0)


def test_a_cancelled_replay_stops_at_once(world: World) -> None:
    """What it has made due stays due, the rest stays as it is; it can't be cancelled again."""
    webhook = endpoint(world)
    made = [settled(world, webhook) for _ in range(2)]
    replay = begin(world, webhook.workspace_id)
    assert step(world, limit=1) == 1
    with world.units() as unit:
        cancelled = unit.replays.cancel(webhook.workspace_id, replay.id)
        unit.commit()
    assert (cancelled.state, cancelled.sent) == (ReplayState.CANCELLED, 1)
    assert step(world) is None
    assert read(world, replay).state is ReplayState.CANCELLED
    assert [status_of(world, each, webhook) for each in made] == [DeliveryStatus.PENDING, DeliveryStatus.DEAD]
    with world.units() as unit, pytest.raises(PreconditionError, match="is cancelled"):
        unit.replays.cancel(webhook.workspace_id, replay.id)


def test_a_replay_is_its_workspaces_own(world: World) -> None:
    """A stranger finds neither it nor a way to end it."""
    owner, stranger = world.workspace(), world.workspace()
    replay = begin(world, owner)
    with world.units() as unit:
        assert unit.replays.get(owner, replay.id) == replay
        assert unit.replays.get(stranger, replay.id) is None
        assert unit.replays.list_page(stranger, limit=9) == []
        for workspace_id, replay_id in ((stranger, replay.id), (owner, uuid4())):
            with pytest.raises(NotFoundError, match="no replay"):
                unit.replays.cancel(workspace_id, replay_id)


def test_replays_are_listed_newest_first(world: World) -> None:
    """Page after page, with what they were asked for."""
    workspace_id = world.workspace()
    made = [begin(world, workspace_id, status=status) for status in (None, DeliveryStatus.DEAD, DeliveryStatus.SKIPPED)]
    with world.units() as unit:
        first = unit.replays.list_page(workspace_id, limit=2)
        assert first[-1].created_at is not None
        after = Position(first[-1].created_at, first[-1].id)
        rest = unit.replays.list_page(workspace_id, limit=9, after=after)
    assert [*first, *rest] == made[::-1]


def test_only_so_many_replays_of_a_workspace_run_at_once(world: World) -> None:
    """One more is refused with what to do, until one has ended; other workspaces have their own."""
    workspace_id = world.workspace()
    running = [begin(world, workspace_id) for _ in range(RUNNING_LIMIT)]
    with pytest.raises(LimitError, match=r"10 replays run in this workspace, and at most 10 may; cancel one"):
        begin(world, workspace_id)
    begin(world, world.workspace())
    with world.units() as unit:
        unit.replays.cancel(workspace_id, running[0].id)
        unit.commit()
    begin(world, workspace_id)


def test_the_limit_holds_for_many_at_once(world: World) -> None:
    """Of fifteen that begin together, ten run."""
    workspace_id = world.workspace()

    def ask(_: int) -> bool:
        try:
            begin(world, workspace_id)
        except LimitError:
            return False
        return True

    assert sum(at_once(15, ask)) == RUNNING_LIMIT


def test_steps_of_many_workers_make_each_due_once(world: World) -> None:
    """Eight that sweep at the same time share the work of three replays, two of which are about the same deliveries."""
    webhook, other = endpoint(world), endpoint(world)
    made = [settled(world, each) for each in (webhook, other) for _ in range(10)]
    replays = [begin(world, each.workspace_id) for each in (webhook, webhook, other)]
    world.age(9 * SECOND)
    sent = sum(at_once(8, lambda _: advance_replays(world.units, limit=3)))
    # Steps are a little apart, so one sweep may leave something for the next one.
    while any(read(world, each).state is ReplayState.RUNNING for each in replays):
        sent += step(world) or 0
    assert sent == sum(read(world, each).sent for each in replays) == 20
    assert [len(redeliveries(world, each)) for each in made] == [1] * 20


def test_a_sweep_takes_all_steps_that_are_due(world: World) -> None:
    """Of all replays, however many steps that is."""
    first, second = endpoint(world), endpoint(world)
    for webhook in (first, second):
        for _ in range(3):
            settled(world, webhook)
        begin(world, webhook.workspace_id)
    world.age(9 * SECOND)
    assert advance_replays(world.units, limit=2) == 6
    assert advance_replays(world.units, limit=2) == 0


def test_a_sweep_ends_in_time(world: World) -> None:
    """No step begins once its time is over, by the caller's clock."""
    webhook = endpoint(world)
    for _ in range(3):
        settled(world, webhook)
    begin(world, webhook.workspace_id)
    world.age(9 * SECOND)
    clock = iter([0.0, 0.5, 1.0, 1.5])
    assert advance_replays(world.units, within=SECOND, limit=1, monotonic=lambda: next(clock)) == 1
