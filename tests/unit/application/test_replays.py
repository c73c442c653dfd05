"""Replays as a caller begins, reads and ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.application.access import make_workspace
from noteflow_hooks.application.replays import begin_replay, cancel_replay, read_replay
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import RUNNING_LIMIT, Replay, ReplayState
from noteflow_hooks.errors import LimitError, NotFoundError, PreconditionError
from tests.support.builders import BY

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.support.application_world import World


def a_dead_one(world: World, webhook: WebhookConfig) -> None:
    """Store a delivery that a replay is for."""
    world.delivery(webhook, status=DeliveryStatus.DEAD, next_attempt_at=None, error_message="HTTP 500")


def of(world: World, webhook: WebhookConfig | None = None) -> Replay:
    """Ask for a replay of all, or of one endpoint's."""
    return Replay.create(world.workspace.id, DeliveryFilter(webhook_id=None if webhook is None else webhook.id))


def test_a_replay_begins_with_how_many_deliveries_match(world: World) -> None:
    """And can be read from then on, in its own workspace alone."""
    webhook = world.webhook()
    for _ in range(3):
        a_dead_one(world, webhook)
    replay = world.do(lambda unit: begin_replay(unit, of(world, webhook), by=BY))
    assert (replay.matched, replay.state) == (3, ReplayState.RUNNING)
    assert world.do(lambda unit: read_replay(unit, world.workspace.id, replay.id)) == replay
    with pytest.raises(NotFoundError, match=f"replay_id: no replay {replay.id} in this workspace"):
        world.do(lambda unit: read_replay(unit, uuid4(), replay.id))


def test_a_dry_run_counts_and_stores_nothing(world: World) -> None:
    """It is no replay that anybody could read."""
    a_dead_one(world, world.webhook())
    replay = world.do(lambda unit: begin_replay(unit, of(world), dry_run=True, by=BY))
    assert replay.matched == 1
    with pytest.raises(NotFoundError):
        world.do(lambda unit: read_replay(unit, world.workspace.id, replay.id))


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_replay_to_a_disabled_endpoint_is_refused(world: World, dry_run: bool) -> None:  # noqa: FBT001 - a case of the table
    """It would send nothing; the refusal says what to do. So is one to an endpoint that is not there."""
    webhook = world.webhook(enabled=False)
    with pytest.raises(PreconditionError, match="is disabled; enable it, then send again"):
        world.do(lambda unit: begin_replay(unit, of(world, webhook), dry_run=dry_run, by=BY))
    other = world.do(lambda unit: make_workspace(unit, "Other", by=BY))
    stranger = world.webhook(workspace_id=other.id)
    with pytest.raises(NotFoundError, match=f"webhook_id: no webhook {stranger.id}"):
        world.do(lambda unit: begin_replay(unit, of(world, stranger), dry_run=dry_run, by=BY))


def test_only_so_many_replays_run_at_once(world: World) -> None:
    """One that is cancelled makes room."""
    replays = [world.do(lambda unit: begin_replay(unit, of(world), by=BY)) for _ in range(RUNNING_LIMIT)]
    with pytest.raises(LimitError):
        world.do(lambda unit: begin_replay(unit, of(world), by=BY))
    cancelled = world.do(lambda unit: cancel_replay(unit, world.workspace.id, replays[0].id, by=BY))
    assert cancelled.state is ReplayState.CANCELLED
    world.do(lambda unit: begin_replay(unit, of(world), by=BY))


def test_what_has_ended_is_not_cancelled_again(world: World) -> None:
    """Nor is another workspace's."""
    replay = world.do(lambda unit: begin_replay(unit, of(world), by=BY))
    with pytest.raises(NotFoundError):
        world.do(lambda unit: cancel_replay(unit, uuid4(), replay.id, by=BY))
    world.do(lambda unit: cancel_replay(unit, world.workspace.id, replay.id, by=BY))
    with pytest.raises(PreconditionError, match="is cancelled"):
        world.do(lambda unit: cancel_replay(unit, world.workspace.id, replay.id, by=BY))
