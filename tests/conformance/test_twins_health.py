"""The SQL of throttling, caps and scheduling slots says what the domain says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.health import load
from noteflow_hooks.domain.health.scheduling import ROOM_POLL, after_slot, fair_shares
from noteflow_hooks.domain.health.slots import has_slot, in_fair_order
from noteflow_hooks.domain.health.state import HealthRules, cap
from noteflow_hooks.persistence.sql import health_statements
from noteflow_hooks.persistence.sql.delivery import claim_statements
from tests.support.twins import MAYBE_FAR, Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig

RULES = HealthRules(concurrency=12)
JOINED = "noteflow.webhook_configs AS config JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id"
#: POSTs that an endpoint has under way, and how many of them are stalled; ten are too many.
LOADS = st.sampled_from([(0, 0), (1, 0), (4, 1), (11, 9), (11, 10), (11, 10), (13, 12)])
#: When a slot came, or will come, and whether an endpoint is flooded and no more.
PAST = st.sampled_from([-3600.0, -60.0, -60.0, 60.0])
MOSTLY = st.sampled_from([True, True, True, False])
FLOODED = {"enabled": True, "deleted_at": None, "paused_at": None, "rate_limit_per_s": None}
UNMARKED = {"open_until": None, "probing_until": None, "ramp": None, "slow_since": None}


def under_way(rows: Rows, webhook_id: UUID, load: tuple[int, int]) -> None:
    """Store POSTs that are under way; a stalled one began a minute ago, and another begins in a minute."""
    for nth in range(load[0]):
        rows.delivery(webhook_id, status="sending", claimed_at=-60.0 if nth < load[1] else 60.0)


def claimed(rows: Rows, statement: Any, **params: Any) -> list[UUID]:  # noqa: ANN401 - a statement's parameters
    """Claim, and return the endpoint of each claim."""
    found = rows.connection.execute(statement, {"limit": 100, "slack_s": 1.0, "concurrency": 12, **params})
    return [row.webhook_id for row in found if row.id is not None]


def due_endpoints(rows: Rows, webhook_ids: Iterable[UUID], *, slow: bool) -> list[tuple[WebhookConfig, EndpointHealth]]:
    """Return the endpoints of a lane that have a slot now, the one that has waited longest first."""
    found = [rows.read_endpoint(each) for each in webhook_ids]
    due = [each for each in found if has_slot(each[1], slow=slow, now=rows.now)]
    return sorted(due, key=lambda each: each[1].turn_at or rows.now)


@twin("domain.health.state.EndpointHealth.is_throttled")
@given(generated=st.lists(endpoints(), min_size=1, max_size=8))
def test_what_throttles_an_endpoint_is_one_thing(tables: Engine, generated: list[Endpoint]) -> None:
    """Its deliveries wait for its scheduling slots from then on."""

    def check(rows: Rows) -> None:
        stored = [rows.endpoint(each) for each in generated]
        found = rows.ids(f"SELECT config.id FROM {JOINED} WHERE {claim_statements.THROTTLED}")  # noqa: S608 - our own constants
        assert found == {
            each for each in stored for webhook, health in [rows.read_endpoint(each)] if health.is_throttled(webhook)
        }

    in_transaction(tables, check)


@twin("domain.health.load.in_flight")
@given(generated=st.lists(st.tuples(endpoints(), LOADS), min_size=1, max_size=4))
def test_what_counts_as_in_flight_is_one_thing(
    tables: Engine, generated: list[tuple[Endpoint, tuple[int, int]]]
) -> None:
    """Where too many are stalled, that is no end of them."""

    def check(rows: Rows) -> None:
        for each, posts in generated:
            webhook_id = rows.endpoint(each)
            under_way(rows, webhook_id, posts)
            query = text(f"SELECT {health_statements.IN_FLIGHT} FROM {JOINED} WHERE config.id = :id")  # noqa: S608 - our own constants
            found = rows.connection.execute(query, {"id": webhook_id}).scalar_one()
            webhook, health = rows.read_endpoint(webhook_id)
            expected = load.in_flight(webhook, health, posts=posts[0], stalled=posts[1])
            assert found == min(expected, 2**31 - 1)

    in_transaction(tables, check)


@twin("domain.health.load.claimable_at_once", "domain.health.load.in_flight")
@given(generated=st.lists(st.tuples(endpoints(), LOADS, st.integers(1, 14)), min_size=1, max_size=3))
def test_how_many_are_claimed_at_once_is_one_thing(
    tables: Engine, generated: list[tuple[Endpoint, tuple[int, int], int]]
) -> None:
    """What an endpoint has no room for is throttled; one that a person asked for goes in any case."""

    def check(rows: Rows) -> None:
        expected = {}
        for each, posts, due in generated:
            webhook_id = rows.endpoint(each)
            under_way(rows, webhook_id, posts)
            for _ in range(due):
                rows.delivery(webhook_id)
            rows.delivery(webhook_id, forced=True)
            webhook, health = rows.read_endpoint(webhook_id)
            in_flight = load.in_flight(webhook, health, posts=posts[0], stalled=posts[1])
            room = load.claimable_at_once(webhook, health, in_flight=in_flight, rules=RULES)
            expected[webhook_id] = min(due, room) + 1
        found = claimed(rows, claim_statements.CLAIM, ids=[])
        assert {each: found.count(each) for each in expected} == expected

    in_transaction(tables, check)


@twin("domain.health.slots.has_slot", "domain.health.slots.in_fair_order")
@given(
    generated=st.lists(
        st.tuples(endpoints(), st.sampled_from(range(-20, 5)), st.sampled_from([0, 0, 0, 1, 2])),
        min_size=1,
        max_size=10,
        unique_by=lambda each: each[1],
    ),
    limit=st.integers(1, 6),
    slow=st.booleans(),
)
def test_who_has_a_slot_and_who_comes_first_is_one_thing(
    tables: Engine,
    generated: list[tuple[Endpoint, int, int]],
    limit: int,
    slow: bool,  # noqa: FBT001 - Hypothesis gives arguments by name
) -> None:
    """Every workspace's first endpoint comes before any workspace's second."""

    def check(rows: Rows) -> None:
        workspaces = [rows.workspace() for _ in range(3)]
        stored = [
            rows.endpoint(Endpoint(each.config, {**each.health, "turn_at": turn}), workspace_id=workspaces[owner])
            for each, turn, owner in generated
        ]
        statement = health_statements.SLOW_SLOTS if slow else health_statements.QUICK_SLOTS
        found = rows.connection.execute(statement, {"endpoints": limit}).all()
        due = due_endpoints(rows, stored, slow=slow)
        ordered = in_fair_order(due, owner=lambda each: each[0].workspace_id)
        assert {row.webhook_id for row in found} == {webhook.id for webhook, _ in ordered[:limit]}

    in_transaction(tables, check)


@twin("domain.health.load.may_have_slot")
@given(generated=st.lists(endpoints(), min_size=1, max_size=6))
def test_whom_a_missing_slot_is_given_is_one_thing(tables: Engine, generated: list[Endpoint]) -> None:
    """A paused endpoint gets none until it resumes, unless all that is left is to be skipped."""

    def check(rows: Rows) -> None:
        stored = [rows.endpoint(each) for each in generated]
        for each in stored:
            rows.delivery(each, held=True)
        before = {each: rows.read_endpoint(each) for each in stored}
        rows.connection.execute(health_statements.GIVE_MISSING_SLOTS)
        for each, (webhook, health) in before.items():
            _, after = rows.read_endpoint(each)
            assert after == (health.awake(now=rows.now) if load.may_have_slot(webhook) else health)

    in_transaction(tables, check)


@twin("domain.health.load.is_merely_flooded", "domain.health.scheduling.after_slot")
@given(
    generated=st.lists(st.tuples(endpoints(MAYBE_FAR), PAST, MOSTLY, LOADS, st.integers(0, 8)), min_size=1, max_size=4),
    limit=st.integers(1, 6),
)
def test_what_flooded_endpoints_get_in_a_slot_is_one_thing(
    tables: Engine,
    generated: list[tuple[Endpoint, float, bool, tuple[int, int], int]],
    limit: int,
) -> None:
    """One statement claims for all that are merely flooded, where the one that has waited longest is such a one."""

    def check(rows: Rows) -> None:
        waiting, posts = {}, {}
        for nth, (each, turn, flooded, load_of, count) in enumerate(generated):
            columns = {**each.health, "turn_at": turn + nth / 100, **(UNMARKED if flooded else {})}
            webhook_id = rows.endpoint(Endpoint({**each.config, **(FLOODED if flooded else {})}, columns))
            under_way(rows, webhook_id, load_of)
            posts[webhook_id], waiting[webhook_id] = load_of, count
            for _ in range(count):
                rows.delivery(webhook_id, held=True)
        due = due_endpoints(rows, waiting, slow=False)
        found = claimed(
            rows, claim_statements.CLAIM_FLOODED, endpoints=20, limit=limit, poll_s=ROOM_POLL.total_seconds()
        )
        if not due or not load.is_merely_flooded(*due[0]):
            assert found == []
            return
        own = [each for each in due if load.is_merely_flooded(*each)]
        rooms = [
            max(0, cap(health, webhook, RULES) - _in_flight(webhook, health, posts[webhook.id]))
            for webhook, health in own
        ]
        wanted = [min(room, waiting[webhook.id]) for room, (webhook, _) in zip(rooms, own, strict=True)]
        shares = fair_shares(wanted, limit=limit)
        assert [found.count(webhook.id) for webhook, _ in own] == shares
        assert len(found) == sum(shares)
        for (webhook, health), room, share in zip(own, rooms, shares, strict=True):
            # Whether there is more than was claimed: a share that was used up says nothing of that.
            more = share == room or waiting[webhook.id] > share or share >= limit
            asked, lease = share if more else share + 1, webhook.lease(timedelta(0))
            expected = after_slot(health, webhook, room=room, share=asked, claimed=share, now=rows.now, lease=lease)
            _, after = rows.read_endpoint(webhook.id)
            assert (after.turn_at is None, after.awaiting_room) == (expected.turn_at is None, expected.awaiting_room)

    in_transaction(tables, check)


def _in_flight(webhook: WebhookConfig, health: EndpointHealth, posts: tuple[int, int]) -> int:
    return load.in_flight(webhook, health, posts=posts[0], stalled=posts[1])
