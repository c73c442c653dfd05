"""Which deliveries go in one request, by the domain's rules alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.batches import BODY_LIMIT, Waiting, planned
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.renderings import USUAL
from tests.support.builders import NOON, a_webhook

WEBHOOK = a_webhook(options=EndpointOptions(batch_max=10, batch_wait_ms=1_000))
LATER = NOON + timedelta(seconds=1)


def waiting(count: int, **overrides: Any) -> list[Waiting]:  # noqa: ANN401 - its fields
    fields = {"created_at": NOON, "payload_bytes": 200, **overrides}
    return [Waiting(delivery_id=uuid4(), **fields) for _ in range(count)]


def sizes(found: list[Waiting], **kwargs: Any) -> list[int]:  # noqa: ANN401 - what a plan takes
    return [len(each.members) for each in planned(found, WEBHOOK, **{"most": 100, "now": LATER, **kwargs}).groups]


def test_full_ones_go_and_the_rest_waits_for_others() -> None:
    """Until the first of the rest has waited long enough: the plan says when that is."""
    plan = planned(waiting(25), WEBHOOK, most=100, now=NOON)
    assert [len(each.members) for each in plan.groups] == [10, 10]
    assert plan.ready_at == LATER
    assert sizes(waiting(25)) == [10, 10, 5]


def test_no_more_go_than_there_is_room_for() -> None:
    """What is left has the next slot."""
    assert sizes(waiting(50), most=2) == [10, 10]


def test_a_test_and_what_was_begun_alone_go_alone() -> None:
    """The others' batch has its place all the same."""
    found = [*waiting(2), *waiting(1, targeted=True), *waiting(1, budget_used=1, rendering=USUAL), *waiting(2)]
    plan = planned(found, WEBHOOK, most=100, now=LATER)
    assert sorted((len(each.members), each.alone) for each in plan.groups) == [(1, True), (1, True), (4, False)]


def test_what_was_part_of_a_batch_waits_for_nobody() -> None:
    """It has waited before; and a limit that an answer has asked for is kept."""
    assert sizes(waiting(3, limit=100, budget_used=1), now=NOON) == [3]
    assert sizes(waiting(5, limit=2, budget_used=1), now=NOON) == [2, 2, 1]


def test_attempts_left_part_them() -> None:
    """One that has failed before, and one that a crash has cut off, have their own."""
    found = [*waiting(2), *waiting(2, limit=100, budget_used=1), *waiting(1, limit=100, interruptions=1)]
    assert sorted(sizes(found)) == [1, 2, 2]


def test_one_that_fits_into_no_body_goes_by_itself() -> None:
    """A lone event always goes, however large."""
    assert sizes(waiting(2, payload_bytes=BODY_LIMIT)) == [1, 1]


@given(
    st.lists(
        st.builds(
            Waiting,
            delivery_id=st.uuids(),
            created_at=st.sampled_from([NOON, LATER]),
            payload_bytes=st.integers(2, 10_240),
            budget_used=st.integers(0, 1),
            limit=st.sampled_from([None, 1, 3, 100]),
            targeted=st.booleans(),
        ),
        max_size=60,
        unique_by=lambda each: each.delivery_id,
    ),
    st.sampled_from([2, 10, 100]),
)
def test_whatever_waits_goes_once_and_within_all_bounds(found: list[Waiting], batch_max: int) -> None:
    """Each delivery in one request, in order within it, of a kind, no larger than allowed."""
    webhook = a_webhook(options=EndpointOptions(batch_max=batch_max))
    plan = planned(found, webhook, most=1_000, now=LATER)
    gone: list[UUID] = [key for each in plan.groups for key in each.ids]
    assert sorted(gone) == sorted(each.delivery_id for each in found)
    places = {each.delivery_id: place for place, each in enumerate(found)}
    for group in plan.groups:
        assert [places[key] for key in group.ids] == sorted(places[key] for key in group.ids)
        assert len({each.kin for each in group.members}) == 1
        assert len(group.members) <= min([batch_max, *(each.limit or 100 for each in group.members)])
        assert sum(each.most_bytes for each in group.members) <= BODY_LIMIT or len(group.members) == 1
        assert group.alone is any(each.goes_alone for each in group.members)
