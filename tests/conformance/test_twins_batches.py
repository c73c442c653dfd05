"""The SQL of batches says what the domain says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.batches import without_batch
from noteflow_hooks.domain.health.scheduling import BURST, is_awaited
from noteflow_hooks.persistence.sql.delivery import batch_statements, dispatch_statements, settle_statements
from tests.support.twins import MAYBE, Endpoint, Rows, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

LIMITS = st.sampled_from([None, 1, 2, 50, 100])


@twin("domain.health.scheduling.is_awaited")
@given(
    turn_at=st.sampled_from([None, -60.0, 0.0, 1.0, 2.0, 2.0, 60.0]),
    gathering=st.sampled_from([True, True, True, False]),
    batch_max=st.sampled_from([0, 2, 3, 4, 100]),
    counts=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 2)),
)
def test_when_a_batch_is_not_waited_for_any_longer_is_one_thing(
    tables: Engine,
    turn_at: float | None,
    gathering: bool,  # noqa: FBT001 - hypothesis gives it by name
    batch_max: int,
    counts: tuple[int, int, int],
) -> None:
    """A dispatch brings a slot forward where it fills the batch, or where the slot would come too late for it."""
    waiting, others, fresh = counts

    def check(rows: Rows) -> None:
        config = {"events": ["meeting.completed"], "batch_max": batch_max, "batch_wait_ms": 2_000, "max_retries": 20}
        health = {"turn_at": turn_at, "gathering": gathering}
        webhook_id = rows.endpoint(Endpoint(config | {"rate_limit_per_s": 1.0}, health))
        for _ in range(waiting):
            rows.delivery(webhook_id, held=True)
        for _ in range(others):
            # What is part of a batch waits for no others.
            rows.delivery(webhook_id, held=True, batch_id=uuid4())
        webhook, before = rows.read_endpoint(webhook_id)
        ids = [rows.event() for _ in range(fresh)]
        params = {"ids": ids, "others": 0, "events": 0, "limit": 9, "burst": BURST, "disabled": "off", "gone": "gone"}
        [report] = rows.connection.execute(dispatch_statements.DISPATCH.usual, params)
        awaited = is_awaited(before, webhook, gathered=waiting + fresh, now=rows.now)
        _, after = rows.read_endpoint(webhook_id)
        assert after.turn_at == (rows.now if awaited or before.turn_at is None else before.turn_at)
        is_later = before.turn_at is not None and before.turn_at > rows.now
        assert report.throttled is (awaited or not is_later)

    in_transaction(tables, check)


@twin("domain.batches.without_batch")
@given(limits=st.lists(LIMITS, min_size=1, max_size=4), limit=st.sampled_from([1, 50, 100]))
def test_what_is_left_of_a_batch_is_one_thing(tables: Engine, limits: list[int | None], limit: int) -> None:
    """Its deliveries belong to none, and the smallest limit that was ever asked for stays."""

    def check(rows: Rows) -> None:
        webhook_id = rows.endpoint(Endpoint({}, {"turn_at": None}))
        ids = [rows.delivery(webhook_id, held=True, batch_id=uuid4(), batch_limit=each) for each in limits]
        before = [rows.read_delivery(each) for each in ids]
        rows.connection.execute(batch_statements.DISSOLVE, {"ids": ids, "limit": limit})
        assert [rows.read_delivery(each) for each in ids] == [without_batch(each, limit) for each in before]

    in_transaction(tables, check)


@twin("domain.health.state.EndpointHealth.with_batch_due")
@given(generated=st.lists(st.tuples(MAYBE, st.booleans(), st.booleans(), MAYBE), min_size=1, max_size=5))
def test_when_a_batch_has_its_next_slot_is_one_thing(
    tables: Engine, generated: list[tuple[float | None, bool, bool, float | None]]
) -> None:
    """At the latest once the batch is due; what comes earlier stays, and what is no batch changes nothing."""

    def check(rows: Rows) -> None:
        ids, expected = [], {}
        for turn_at, gathering, is_batch, due in generated:
            webhook_id = rows.endpoint(Endpoint({}, {"turn_at": turn_at, "gathering": gathering}))
            batch_id = uuid4() if is_batch else None
            moment = due if due is not None else 5.0
            ids.append(rows.delivery(webhook_id, held=True, batch_id=batch_id, next_attempt_at=moment))
            _, before = rows.read_endpoint(webhook_id)
            due_at = rows.now + timedelta(seconds=moment)
            expected[webhook_id] = before.with_batch_due(due_at) if is_batch else before
        rows.connection.execute(settle_statements.SCHEDULE_BATCHES, {"ids": ids})
        assert {key: rows.read_endpoint(key)[1] for key in expected} == expected

    in_transaction(tables, check)
