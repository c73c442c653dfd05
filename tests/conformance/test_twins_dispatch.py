"""The SQL of dispatching says what the domain says: who gets an event, and what is throttled from the start."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from noteflow_hooks.domain.fan_out import receives
from noteflow_hooks.domain.health.load import is_throttled_from_the_start
from noteflow_hooks.persistence.sql.delivery import dispatch_statements
from tests.support.twins import Endpoint, Rows, endpoints, in_transaction, twin

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Engine

BURST = 2
#: An event's type, when it was stored, which endpoint alone it is for, and which one it is about, by their places.
EVENTS = st.tuples(
    st.sampled_from(["meeting.completed", "webhook.failing", "webhook.failing", "summary.generated"]),
    st.sampled_from([-5000.0, -60.0]),
    st.sampled_from([None, None, None, 0, 1]),
    st.sampled_from([0, 1]),
)
#: An endpoint, when it was stored, and whether it belongs to another workspace.
STORED = st.tuples(
    endpoints(), st.sampled_from([-7200.0, -5000.0, -120.0]), st.sampled_from([False, False, False, True])
)


@twin("domain.fan_out.receives", "domain.health.load.is_throttled_from_the_start")
@given(generated=st.lists(STORED, min_size=2, max_size=4), events=st.lists(EVENTS, min_size=3, max_size=6))
def test_who_gets_an_event_and_what_is_throttled_is_one_thing(
    tables: Engine,
    generated: list[tuple[Endpoint, float, bool]],
    events: list[tuple[str, float, int | None, int]],
) -> None:
    """Beyond the burst an endpoint's new deliveries are throttled, in the order of the events."""

    def check(rows: Rows) -> None:
        other = rows.workspace()
        webhook_ids = [
            rows.endpoint(
                Endpoint({**each.config, "created_at": created_at}, each.health),
                workspace_id=other if elsewhere else None,
            )
            for each, created_at, elsewhere in generated
        ]
        event_ids = [_store(rows, webhook_ids, each) for each in events]
        expected = _expected(rows, webhook_ids, event_ids)
        params = {
            "ids": event_ids,
            "others": 0,
            "events": 0,
            "limit": 1000,
            "burst": BURST,
            "disabled": "off",
            "gone": "gone",
        }
        rows.connection.execute(dispatch_statements.DISPATCH.usual, params)
        found = rows.connection.execute(
            text("SELECT event_id, webhook_id, status, held FROM noteflow.webhook_deliveries")
        )
        assert {(row.event_id, row.webhook_id): (row.status, row.held) for row in found} == expected

    in_transaction(tables, check)


def _store(rows: Rows, webhook_ids: list[UUID], event: tuple[str, float, int | None, int]) -> UUID:
    event_type, created_at, target, about = event
    return rows.event(
        event_type=event_type,
        created_at=created_at,
        target_webhook_id=None if target is None else webhook_ids[target],
        payload=json.dumps({"webhook_id": str(webhook_ids[about])}),
    )


def _expected(rows: Rows, webhook_ids: list[UUID], event_ids: list[UUID]) -> dict[tuple[UUID, UUID], tuple[str, bool]]:
    """Return the status of each delivery that is to be made, and whether it is throttled."""
    nth: Counter[UUID] = Counter()
    expected = {}
    pairs = [rows.read_endpoint(each) for each in webhook_ids]
    for event in sorted(map(rows.read_event, event_ids), key=lambda each: (each.created_at or rows.now, each.id)):
        for webhook, health in pairs:
            if receives(webhook, event):
                nth[webhook.id] += 1
                throttled = is_throttled_from_the_start(
                    webhook,
                    health,
                    nth=nth[webhook.id],
                    forced=event.target_webhook_id is not None,
                    burst=BURST,
                )
                expected[event.id, webhook.id] = ("pending" if webhook.enabled else "skipped", throttled)
    return expected
