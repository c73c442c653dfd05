"""The SQL of orders says what the domain says: which of a meeting goes next, and what giving up makes of one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.slots import OwnSlot
from noteflow_hooks.domain.options import OnDead
from noteflow_hooks.domain.ordering import BLOCKED_FOR, BLOCKED_FROM, MeetingOrder, Step, given_up, is_blocked
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql import meeting_orders
from noteflow_hooks.persistence.sql.delivery import order_statements
from noteflow_hooks.persistence.sql.delivery.order_keeper import OrderKeeper
from tests.support.twins import Endpoint, Rows, in_transaction, twin

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Engine

#: What may have become of an event of a meeting, at an endpoint that keeps an order.
FATES: Final = (
    "undispatched",
    "none",
    "waits",
    "blocked",
    "backoff",
    "sending",
    "succeeded",
    "dead",
    "skipped",
    "given_up",
)


#: The columns of a delivery, by what has become of it; all but the one that is new are on record as of the order.
COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "waits": {"status": "pending", "held": True, "next_attempt_at": -60.0},
    "blocked": {"status": "pending", "held": True, "next_attempt_at": BLOCKED_FOR.total_seconds()},
    "backoff": {"status": "pending", "next_attempt_at": 60.0},
    "sending": {"status": "sending"},
    "succeeded": {"status": "succeeded", "attempt_count": 1, "status_code": 200, "delivered_at": -1.0},
    "dead": {"status": "dead", "attempt_count": 1},
    "skipped": {"status": "skipped"},
    "given_up": {"status": "skipped", "skip_reason": "given_up"},
}


def columns_of(fate: str, number: int) -> dict[str, Any]:
    return COLUMNS[fate] | ({} if fate == "waits" else {"ordered_meeting": "m", "sequence": number})


def step_of(fate: str, number: int, event_id: UUID, delivery_id: UUID | None) -> Step:
    if delivery_id is None:
        return Step(number, event_id, fate != "undispatched")
    status = {"waits": "pending", "blocked": "pending", "backoff": "pending", "given_up": "skipped"}.get(fate, fate)
    return Step(
        number,
        event_id,
        is_dispatched=True,
        delivery_id=delivery_id,
        status=DeliveryStatus(status),
        skip_reason=SkipReason.GIVEN_UP if fate == "given_up" else None,
        attempt_count=int(fate in ("succeeded", "dead")),
        is_claimable=fate in ("waits", "blocked"),
        is_marked=fate != "waits",
    )


def stored(rows: Rows, webhook_id: UUID, fates: list[str]) -> list[Step]:
    """Store a meeting whose events have met these fates; return it as the domain has it."""
    steps = []
    for number, fate in enumerate(fates, start=1):
        dispatched_at = None if fate == "undispatched" else -1.0
        event_id = rows.event(meeting_id="m", sequence=number, dispatched_at=dispatched_at)
        has_none = fate in ("undispatched", "none")
        delivery_id = None if has_none else rows.delivery(webhook_id, event_id=event_id, **columns_of(fate, number))
        steps.append(step_of(fate, number, event_id, delivery_id))
    return steps


def an_ordered_endpoint(rows: Rows, on_dead: OnDead) -> UUID:
    return rows.endpoint(Endpoint({"ordering": "per_meeting", "on_dead": on_dead}, {"turn_at": -1.0}))


@twin("domain.ordering.MeetingOrder.walked")
@given(fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=7), on_dead=st.sampled_from(OnDead))
def test_what_goes_next_is_one_thing(tables: Engine, fates: list[str], on_dead: OnDead) -> None:
    """A slot claims the head and blocks the rest; and the sweep has a meeting looked at whose lowest could go."""

    def check(rows: Rows) -> None:
        webhook_id = an_ordered_endpoint(rows, on_dead)
        steps = stored(rows, webhook_id, fates)
        walked = MeetingOrder().walked(steps, on_dead)
        rows.connection.execute(order_statements.RELEASE_LOST, {"limit": 10})
        released = rows.connection.execute(text("SELECT meeting_id FROM noteflow.released_meetings")).scalars().all()
        marked = [
            each for each in steps if each.is_marked and each.status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
        ]
        lowest = fates[marked[0].sequence - 1] if marked else None
        assert bool(released) == (lowest == "blocked")

        webhook, health = rows.read_endpoint(webhook_id)
        slot = OwnSlot(webhook, health, rows.now, room=5, share=5)
        claims = OrderKeeper(rows.connection, [slot], lease_slack=timedelta(seconds=1)).claim()
        is_looked_at = bool(released) or "waits" in fates
        expected = [walked.head.delivery_id] if walked.head is not None and is_looked_at else []
        assert [each.id for each in claims.rows] == expected
        if is_looked_at and not walked.is_through:
            for step, fate in zip(steps, fates, strict=True):
                if fate == "waits" and step.delivery_id is not None and step.delivery_id not in expected:
                    waiting = rows.read_delivery(step.delivery_id)
                    assert is_blocked(waiting)
                    assert (waiting.ordered_meeting, waiting.sequence) == ("m", step.sequence)

    in_transaction(tables, check)


@twin("domain.ordering.given_up")
@given(fate=st.sampled_from(["waits", "blocked", "backoff", "dead"]), message=st.sampled_from([None, "HTTP 500"]))
def test_what_giving_up_makes_of_a_delivery_is_one_thing(tables: Engine, fate: str, message: str | None) -> None:
    """It is skipped, wherever it stood, with its last message where it was dead."""

    def check(rows: Rows) -> None:
        webhook_id = an_ordered_endpoint(rows, OnDead.STOP)
        event_id = rows.event(meeting_id="m", sequence=1, dispatched_at=-1.0)
        before = rows.read_delivery(
            rows.delivery(webhook_id, event_id=event_id, **columns_of(fate, 1) | {"error_message": message})
        )
        after = given_up(before)
        params = {"id": after.id, "message": after.error_message, "reason": after.skip_reason}
        for statement in (meeting_orders.GIVE_UP_QUEUED, meeting_orders.GIVE_UP_SETTLED):
            rows.connection.execute(statement, params)
        assert rows.read_delivery(before.id) == after
        assert rows.now < BLOCKED_FROM

    in_transaction(tables, check)
