"""The SQL of batches says what the domain says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.batches import Waiting, fresh_groups, without_batch
from noteflow_hooks.domain.health import load
from noteflow_hooks.domain.health.scheduling import BURST, is_awaited
from noteflow_hooks.persistence.sql.delivery import (
    batch_statements,
    claim_statements,
    dispatch_statements,
    fresh_statements,
    settle_statements,
)
from tests.support.twins import MAYBE, Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

JOINED = "noteflow.webhook_configs AS config JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id"
BATCHED = st.sampled_from([True, True, False])
PARAMS: dict[str, Any] = {
    "others": 0,
    "events": 0,
    "limit": 100,
    "burst": BURST,
    "disabled": "off",
    "gone": "gone",
    "claim": 50,
    "slack_s": 1.0,
    "concurrency": 12,
}
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


@twin("domain.health.load.leases_batches")
@given(generated=st.lists(st.tuples(endpoints(), BATCHED), min_size=1, max_size=8))
def test_whose_batches_go_as_they_are_dispatched_is_one_thing(
    tables: Engine, generated: list[tuple[Endpoint, bool]]
) -> None:
    """Those that nothing throttles but their batches."""

    def check(rows: Rows) -> None:
        own = [Endpoint({**each.config, **({"batch_max": 5} if yes else {})}, each.health) for each, yes in generated]
        stored = [rows.endpoint(each) for each in own]
        found = rows.ids(f"SELECT config.id FROM {JOINED} WHERE {claim_statements.LEASES_BATCHES}")  # noqa: S608 - our own constants
        assert found == {each for each in stored if load.leases_batches(*rows.read_endpoint(each))}

    in_transaction(tables, check)


@twin("domain.batches.fresh_groups")
@given(
    batch_max=st.sampled_from([2, 3, 24]),
    wait_ms=st.sampled_from([0, 0, 1_000]),
    cap=st.sampled_from([None, None, 1, 2]),
    runs=st.lists(
        st.tuples(st.sampled_from([1, 2, 24]), st.sampled_from([2, 10_000]), st.sampled_from([None, "m-1", "m" * 200])),
        min_size=1,
        max_size=4,
    ),
)
def test_which_deliveries_are_batches_from_the_start_is_one_thing(
    tables: Engine, batch_max: int, wait_ms: int, cap: int | None, runs: list[tuple[int, int, str | None]]
) -> None:
    """Full ones, or what need not wait, in the order of the events, as far as there is room in a body and for POSTs."""

    def check(rows: Rows) -> None:
        config = {"events": ["meeting.completed"], "batch_max": batch_max, "batch_wait_ms": wait_ms}
        webhook_id = rows.endpoint(Endpoint({**config, "max_concurrency": cap}, {"turn_at": None}))
        events = [(size, about) for count, size, about in runs for _ in range(count)]
        # Of the same bytes as it is told: two quotes and as many letters.
        ids = [
            rows.event(payload=json.dumps("x" * (size - 2)), meeting_id=about, created_at=-60.0 + nth)
            for nth, (size, about) in enumerate(events)
        ]
        waiting = [
            Waiting(delivery_id=key, created_at=rows.now, payload_bytes=size, meeting_id=about)
            for key, (size, about) in zip(ids, events, strict=True)
        ]
        expected = [each.ids for each in fresh_groups(waiting, rows.read_endpoint(webhook_id)[0])][
            : cap or PARAMS["concurrency"]
        ]
        rows.connection.execute(fresh_statements.DISPATCH_BATCHES.usual, {**PARAMS, "ids": ids})
        found = rows.connection.execute(
            text(
                "SELECT batch.id, array_agg(own.event_id ORDER BY array_position(batch.members, own.id)) AS events"
                " FROM noteflow.webhook_batches AS batch JOIN noteflow.delivery_queue AS own ON own.batch_id = batch.id"
                " WHERE own.status = 'sending' GROUP BY batch.id ORDER BY batch.id"
            )
        )
        assert [tuple(row.events) for row in found] == expected

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
