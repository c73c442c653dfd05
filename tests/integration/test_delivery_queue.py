"""Where a delivery's row stands: in the queue while it waits or is under way, and among the settled ones after that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.moves import COLUMNS
from noteflow_hooks.persistence.sql.orm import DeliveryQueueRow, WebhookDeliveryRow
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_failure, a_webhook, a_workspace, an_attempt_result, an_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import AttemptResult

BOX: Final = SecretBox([])
SLACK: Final = timedelta(seconds=10)
POLICY: Final = RetryPolicy(jitter=0)
COUNTS: Final = text(
    "SELECT (SELECT count(*) FROM noteflow.delivery_queue), (SELECT count(*) FROM ONLY noteflow.webhook_deliveries),"
    " (SELECT count(*) FROM noteflow.webhook_attempts), (SELECT count(*) FROM noteflow.webhook_redeliveries)"
)


class Stage:
    """A workspace with an endpoint, whose events are dispatched and settled as a worker does it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = SqlAlchemyDeliveryStore(engine, BOX)
        with self.unit() as unit:
            self.workspace_id = unit.access.create_workspace(a_workspace()).id
            self.webhook_id = unit.webhooks.create(a_webhook(workspace_id=self.workspace_id)).id
            unit.commit()

    def unit(self) -> SqlAlchemyUnitOfWork:
        return SqlAlchemyUnitOfWork(self.engine, BOX)

    def dispatched(self) -> UUID:
        """Store an event, dispatch it, and return its delivery."""
        with self.unit() as unit:
            event = unit.events.append(an_event(workspace_id=self.workspace_id))
            unit.commit()
        [delivery_id] = self.store.dispatch([event.id], limit=9).delivery_ids
        return delivery_id

    def settle(self, result: AttemptResult) -> None:
        """Claim all that is due and store this result for each."""
        settlements = []
        for claim in self.store.claim([], limit=9, lease_slack=SLACK):
            after, wait = claim.delivery.attempted(result, max_retries=3, policy=POLICY, draw=0)
            settlements.append(Settlement(after, wait=wait, attempt=result))
        assert len(self.store.settle(settlements).fencing_keys) == len(settlements) > 0

    def succeeded(self) -> UUID:
        """Return a delivery that has succeeded at its first attempt."""
        delivery_id = self.dispatched()
        self.settle(an_attempt_result())
        return delivery_id

    def send_again(self, delivery_id: UUID) -> None:
        with self.unit() as unit:
            unit.deliveries.send_again(self.workspace_id, delivery_id)
            unit.commit()

    def counts(self) -> tuple[int, ...]:
        """Return how many rows wait, are settled, are attempts, and tell that something was sent again."""
        with self.engine.connect() as connection:
            return tuple(connection.execute(COUNTS).one())

    def change(self, statement: str) -> None:
        """Do to the tables what no process of this release does."""
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def status(self, delivery_id: UUID) -> DeliveryStatus:
        with self.unit() as unit:
            found = unit.deliveries.get_by_id(self.workspace_id, delivery_id)
        assert found is not None
        return found.status


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


@pytest.fixture
def stage(engine: Engine) -> Stage:
    return Stage(engine)


def test_a_delivery_leaves_the_queue_when_it_is_settled(stage: Stage) -> None:
    """A failed attempt leaves it where it is; whoever asks for deliveries finds it all the time."""
    delivery_id = stage.dispatched()
    assert stage.counts() == (1, 0, 0, 0)
    stage.settle(a_failure())
    assert (stage.counts(), stage.status(delivery_id)) == ((1, 0, 1, 0), DeliveryStatus.PENDING)
    stage.change("UPDATE noteflow.webhook_deliveries SET next_attempt_at = now()")
    stage.settle(an_attempt_result())
    assert (stage.counts(), stage.status(delivery_id)) == ((0, 1, 2, 0), DeliveryStatus.SUCCEEDED)


def test_what_is_sent_again_comes_back_with_its_attempts(stage: Stage) -> None:
    """Its row moves, under its id, and nothing that names it goes."""
    delivery_id = stage.succeeded()
    with stage.unit() as unit:
        before = unit.deliveries.get_by_id(stage.workspace_id, delivery_id)
    stage.send_again(delivery_id)
    assert stage.counts() == (1, 0, 1, 1)
    stage.settle(an_attempt_result())
    with stage.unit() as unit:
        after = unit.deliveries.get_by_id(stage.workspace_id, delivery_id)
    assert stage.counts() == (0, 1, 2, 1)
    assert before is not None
    assert after is not None
    assert (after.created_at, after.attempt_count) == (before.created_at, 2)


@pytest.mark.parametrize("table", ["webhook_events", "webhook_configs", "workspaces"])
def test_deliveries_go_with_what_they_name(stage: Stage, table: str) -> None:
    """Those that wait and those that are settled, and with them their attempts."""
    stage.send_again(stage.succeeded())
    stage.dispatched()
    stage.settle(a_failure())
    stage.succeeded()
    assert stage.counts() == (2, 1, 4, 1)
    stage.change(f"DELETE FROM noteflow.{table}")  # noqa: S608 - our own name
    assert stage.counts() == (0, 0, 0, 0)


def test_a_delivery_that_somebody_deletes_takes_its_attempts_along(stage: Stage) -> None:
    """And no other's."""
    gone = stage.succeeded()
    stage.succeeded()
    stage.change(f"DELETE FROM noteflow.webhook_deliveries WHERE id = '{gone}'")  # noqa: S608 - an id
    assert stage.counts() == (0, 1, 1, 0)


MOVED_BACK: Final = """
WITH taken AS (DELETE FROM noteflow.delivery_queue RETURNING *)
INSERT INTO noteflow.webhook_deliveries SELECT * FROM taken
"""


def test_what_waits_among_the_settled_is_found_by_the_sweep(stage: Stage) -> None:
    """As a worker of the former release dispatches it."""
    delivery_id = stage.dispatched()
    stage.change(MOVED_BACK)
    assert not stage.store.claim([delivery_id], limit=9, lease_slack=SLACK)
    stage.store.reclaim_expired(limit=9)
    assert stage.counts() == (1, 0, 0, 0)
    stage.settle(an_attempt_result())
    assert stage.status(delivery_id) is DeliveryStatus.SUCCEEDED


def test_a_lease_among_the_settled_is_left_alone_until_it_expires(stage: Stage) -> None:
    """It is a former worker's, which may die like any other."""
    stage.dispatched()
    [claim] = stage.store.claim([], limit=9, lease_slack=SLACK)
    stage.change(MOVED_BACK)
    assert (stage.store.reclaim_expired(limit=9), stage.counts()) == (0, (0, 1, 0, 0))
    stage.change("UPDATE noteflow.webhook_deliveries SET lease_expires_at = now() - interval '1 s'")
    assert (stage.store.reclaim_expired(limit=9), stage.counts()) == (1, (1, 0, 1, 0))
    assert stage.status(claim.delivery.id) is DeliveryStatus.PENDING


def test_what_is_settled_in_the_queue_is_filed_by_the_sweep(stage: Stage) -> None:
    """As a worker of the former release settles it."""
    stage.dispatched()
    stage.change(
        "UPDATE noteflow.webhook_deliveries SET status = 'succeeded', status_code = 200, delivered_at = now(),"
        " next_attempt_at = NULL"
    )
    assert stage.counts() == (1, 0, 0, 0)
    stage.store.reclaim_expired(limit=9)
    assert stage.counts() == (0, 1, 0, 0)


def test_a_row_that_stands_in_both_tables_costs_no_other_its_result(stage: Stage) -> None:
    """One that somebody has copied keeps its settled form; its neighbour in the batch is stored."""
    copied, other = stage.dispatched(), stage.dispatched()
    stage.change(
        "INSERT INTO noteflow.webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, status)"  # noqa: S608 - an id
        " SELECT id, workspace_id, webhook_id, event_id, event_type, 'dead' FROM noteflow.delivery_queue"
        f" WHERE id = '{copied}'"
    )
    stage.settle(an_attempt_result())
    assert stage.counts() == (0, 2, 2, 0)
    assert (stage.status(copied), stage.status(other)) == (DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED)


def test_an_event_that_is_dispatched_once_more_makes_no_second_delivery(stage: Stage) -> None:
    """Somebody has set it back; those that are dispatched with it get theirs all the same."""
    stage.dispatched()
    stage.change("UPDATE noteflow.webhook_events SET dispatched_at = NULL")
    with stage.unit() as unit:
        event = unit.events.append(an_event(workspace_id=stage.workspace_id))
        unit.commit()
    assert len(stage.store.dispatch([event.id], limit=9).delivery_ids) == 1
    assert stage.counts() == (2, 0, 0, 0)


def test_a_list_reads_both_tables_in_their_order(stage: Stage) -> None:
    """What waits and what is settled are one list, newest first."""
    for _ in range(2):
        stage.succeeded()
        stage.dispatched()
        stage.settle(a_failure())
    with stage.unit() as unit:
        listed = unit.deliveries.list_page(stage.workspace_id, DeliveryFilter(), limit=9)
    assert [each.status for each in listed] == [DeliveryStatus.PENDING, DeliveryStatus.SUCCEEDED] * 2


def test_a_list_goes_through_neither_table(stage: Stage) -> None:
    """Each gives its rows by an index, in their order, and they are merged."""
    for table, status, due in (("webhook_deliveries", "dead", "NULL"), ("delivery_queue", "pending", "now()")):
        stage.change(
            f"INSERT INTO noteflow.{table} (workspace_id, webhook_id, event_id, event_type, status, next_attempt_at)"  # noqa: S608 - our own names
            f" SELECT '{stage.workspace_id}', '{stage.webhook_id}', gen_random_uuid(), 'meeting.completed', '{status}',"
            f" {due} FROM generate_series(1, 2000)"
        )
        stage.change(f"ANALYZE noteflow.{table}")
    plan = (
        "EXPLAIN SELECT * FROM noteflow.webhook_deliveries WHERE workspace_id = :id"
        " ORDER BY created_at DESC, id DESC LIMIT 50"
    )
    with stage.engine.connect() as connection:
        steps = "\n".join(connection.scalars(text(plan), {"id": stage.workspace_id}))
    assert "Merge Append" in steps
    assert "->  Sort" not in steps


def test_every_column_of_a_delivery_moves_with_it() -> None:
    """The moves name all columns that both tables have; when it was filed, the database notes anew each time."""
    assert {*COLUMNS, "settled_at"} == set(DeliveryQueueRow.__table__.columns.keys())
    assert {*COLUMNS, "settled_at"} == set(WebhookDeliveryRow.__table__.columns.keys())
