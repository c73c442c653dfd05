"""Replays: many deliveries are sent again, each once; which ones, and how many replays there may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter, IdRange, Position
from noteflow_hooks.domain.replays import RUNNING_LIMIT, Replay, ReplayState
from noteflow_hooks.errors import LimitError, NotFoundError, PreconditionError
from tests.conformance.model.replaying import (
    SECOND,
    TICK,
    begin,
    endpoint,
    read,
    redeliveries,
    settled,
    status_of,
    step,
)
from tests.conformance.model.world import SLACK
from tests.conformance.test_concurrency import at_once
from tests.support.builders import a_failure, an_attempt_result

if TYPE_CHECKING:
    from tests.conformance.model.world import World


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
        assert after._replace(next_attempt_at=None, created_at=before.created_at) == before._replace(
            status=DeliveryStatus.PENDING,
            held=True,
            budget_used=0,
            skip_reason=None,
            # Filters have spoken of what was sent, and are asked anew about what was skipped.
            passes_filter=before is dead,
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


def test_a_replay_takes_every_filter_of_the_list_and_is_read_with_them(world: World) -> None:
    """By each alone, and all together; its steps send those again and no others."""
    webhook = endpoint(world)
    workspace_id = webhook.workspace_id
    one, two = (world.event(workspace_id, meeting_id=each) for each in ("m-1", "m-2"))
    dead, other = (world.dispatched(each)[0] for each in (one, two))
    assert world.settle(world.claim(dead.id), a_failure(status_code=404))
    assert world.settle(world.claim(other.id), a_failure(status_code=500))
    everything = DeliveryFilter(
        statuses=frozenset({DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED}),
        event_id=one.id,
        meeting_id="m-1",
        error_kind=ErrorKind.STATUS,
        status_code=404,
        ids=IdRange.of_prefix(str(dead.id)),
    )
    names = ("statuses", "event_id", "meeting_id", "error_kind", "status_code", "ids")
    for criteria in (everything, *(DeliveryFilter(**{name: getattr(everything, name)}) for name in names)):
        # Both failed by their status, and are dead.
        is_of_both = criteria in (
            DeliveryFilter(statuses=everything.statuses),
            DeliveryFilter(error_kind=everything.error_kind),
        )
        expected = 2 if is_of_both else 1
        with world.units() as unit:
            assert unit.replays.preview(Replay.create(workspace_id, criteria)).matched == expected, criteria
    with world.units() as unit:
        stored = unit.replays.create(Replay.create(workspace_id, everything))
        unit.commit()
    with world.units() as unit:
        found = unit.replays.get(workspace_id, stored.id)
    assert found == stored
    assert replace(found.criteria, created_before=None) == everything
    assert step(world) == 1
    assert world.read(workspace_id, dead.id).status is DeliveryStatus.PENDING
    assert world.read(workspace_id, other.id).status is DeliveryStatus.DEAD


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
