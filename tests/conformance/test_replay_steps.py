"""The steps of replays: at a rate, oldest first, each delivery once, whatever happens between two of them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.replays import ReplayState
from noteflow_hooks.errors import PreconditionError
from noteflow_hooks.maintenance.replays import advance_replays
from tests.conformance.model.replaying import (
    SECOND,
    begin,
    endpoint,
    read,
    redeliveries,
    settled,
    status_of,
    step,
    step_now,
)
from tests.conformance.model.world import SLACK
from tests.conformance.test_concurrency import at_once
from tests.support.builders import a_failure

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World


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
