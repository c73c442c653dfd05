"""A meeting's order where deliveries are sent again, or go in batches, as every store keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from noteflow_hooks.domain.ranks import Rank
from tests.conformance.model.batching import end, taken
from tests.conformance.model.ordering import FAILED, IN_ORDER, OK, Stage
from tests.conformance.model.world import SLACK

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_one_that_is_sent_again_past_its_place_says_so(world: World) -> None:
    """Only where a later one has been sent; and what is new waits for it."""
    stage = Stage(world)
    first, _, third = stage.publish("a1", "a2", "a3")
    assert stage.drained() == ["a1", "a2", "a3"]
    stage.send_again(first)
    again = world.claim(stage.delivery(first).id)
    assert again.rank == Rank(1, is_late=True)
    stage.publish("a4")
    assert stage.claimed() == []
    stage.settle([again])
    [fourth] = stage.claimed()
    assert fourth.rank == Rank(4)
    stage.settle([fourth], FAILED)
    stage.send_again(third)
    assert world.claim(stage.delivery(third).id).rank == Rank(3, is_late=True)


def test_one_that_is_sent_again_beside_a_later_one_in_a_batch_says_so(world: World) -> None:
    """The batch is on its way, so a later one has been sent."""
    stage = Stage(world, replace(IN_ORDER, batch_max=10))
    [first] = stage.publish("a1")
    [batch] = taken(world)
    end(world, batch, OK)
    stage.publish("a2")
    [batch] = taken(world)
    assert stage.names(batch.members) == ["a2"]
    stage.send_again(first)
    assert world.claim(stage.delivery(first).id).rank == Rank(1, is_late=True)


def test_a_batch_takes_each_meetings_head(world: World) -> None:
    """What is behind one waits for its batch to end, over a failure too; the next ones go together again."""
    stage = Stage(world, replace(IN_ORDER, batch_max=10), max_retries=2)
    stage.publish("a1", "b1", "a2", "b2", "a3")
    [batch] = taken(world)
    assert stage.names(batch.members) == ["a1", "b1"]
    assert [each.rank for each in batch.members] == [Rank(1), Rank(1)]
    assert taken(world) == []
    end(world, batch, FAILED)
    [again] = taken(world)
    assert (again.id, stage.names(again.members)) == (batch.id, ["a1", "b1"])
    end(world, again, FAILED)
    [following] = taken(world)
    assert stage.names(following.members) == ["a2", "b2"]
    assert [each.rank for each in following.members] == [Rank(2, gap=1), Rank(2, gap=1)]
    end(world, following, OK)
    world.deliveries.count_throttled(limit=9)
    [last] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    assert last.rank == Rank(3)


def test_switching_batches_off_keeps_the_order_over_what_is_a_batch(world: World) -> None:
    """It is sent again as it stands, before anything behind its members."""
    stage = Stage(world, replace(IN_ORDER, batch_max=10), max_retries=3)
    stage.publish("a1", "b1", "a2")
    [batch] = taken(world)
    end(world, batch, FAILED)
    stage.change(IN_ORDER)
    [again] = taken(world)
    assert (again.id, stage.names(again.members)) == (batch.id, ["a1", "b1"])
    end(world, again, OK)
    assert stage.drained() == ["a2"]
