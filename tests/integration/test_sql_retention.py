"""What only PostgreSQL can get wrong about erasing and removing: rows that others hold, and what a batch costs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.skipping import ERASED
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql.delivery import dispatch_statements
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance import retention
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_webhook, a_workspace, an_attempt_result, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Claim, WebhookDelivery
    from noteflow_hooks.domain.ports.maintenance import PurgeBatch

#: As if everything were counted.
COUNTED = {"counted_to": "infinity", "uncounted": UUID(int=0), "beyond": UUID(int=0)}
NO_TIME = timedelta(0)
BOX = SecretBox([bytes(32)])
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
CHILDREN = ("webhook_events", "webhook_deliveries", "webhook_attempts", "webhook_redeliveries")


class Store:
    """The database, with a workspace that has endpoints."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.retention = SqlAlchemyRetentionStore(engine)
        self.deliveries = SqlAlchemyDeliveryStore(engine, BOX)
        with self.unit() as unit:
            self.workspace_id = unit.access.create_workspace(a_workspace()).id
            unit.commit()

    def unit(self) -> SqlAlchemyUnitOfWork:
        return SqlAlchemyUnitOfWork(self.engine, BOX)

    def endpoints(self, count: int) -> None:
        with self.unit() as unit:
            for _ in range(count):
                unit.webhooks.create(a_webhook(workspace_id=self.workspace_id))
            unit.commit()

    def events(self, count: int) -> list[UUID]:
        with self.unit() as unit:
            made = [unit.events.append(an_event(workspace_id=self.workspace_id)).id for _ in range(count)]
            unit.commit()
        return made

    def settled(self, count: int) -> list[UUID]:
        """Store so many events that every endpoint has got, and return the events' ids."""
        made = self.events(count)
        self.deliveries.dispatch(made, limit=999)
        for claim in self.claims():
            self.settle(claim)
        return made

    def claims(self) -> list[Claim]:
        return list(self.deliveries.claim([], limit=999, lease_slack=timedelta(seconds=10)))

    def settle(self, claim: Claim) -> None:
        result = an_attempt_result(response_body="you said: Weekly")
        after, wait = claim.delivery.attempted(result, max_retries=3, policy=EXACT, draw=0.5)
        self.deliveries.settle([Settlement(after, wait=wait, attempt=result)])

    def erase_meeting(self) -> tuple[int, int]:
        with self.unit() as unit:
            counts = unit.events.erase_meeting(self.workspace_id, "m-1")
            unit.commit()
        return counts

    def of(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        with self.unit() as unit:
            return unit.deliveries.get_by_event(event_id)

    def waits(self) -> bool:
        with self.engine.begin() as connection:
            return bool(connection.scalar(WAITING))

    def count(self, table: str, where: str = "true") -> int:
        with self.engine.begin() as connection:
            return int(connection.scalar(text(f"SELECT count(*) FROM noteflow.{table} WHERE {where}")) or 0)  # noqa: S608 - the test's own words


@pytest.fixture
def store(clean_database: str) -> Iterator[Store]:
    engine = create_engine(clean_database)
    yield Store(engine)
    engine.dispose()


def in_a_thread(store: Store, call: Callable[[], object]) -> threading.Thread:
    """Run it in a thread, and return once it waits for a lock."""
    thread = threading.Thread(target=call)
    thread.start()
    until(store.waits, what="the call waits for a lock")
    return thread


def test_a_result_that_comes_while_a_meeting_is_erased_leaves_no_answer(store: Store) -> None:
    """It waits for the erasure, and then knows of it, although it began before."""
    store.endpoints(1)
    [event_id] = store.events(1)
    store.deliveries.dispatch([event_id], limit=9)
    [claim] = store.claims()
    with store.unit() as unit:
        assert unit.events.erase_meeting(store.workspace_id, "m-1") == (1, 0)
        thread = in_a_thread(store, partial(store.settle, claim))
        unit.commit()
    thread.join()
    [delivery] = store.of(event_id)
    assert (delivery.status, delivery.response_body) == (DeliveryStatus.SUCCEEDED, None)
    assert store.count("webhook_attempts") == 1
    assert store.count("webhook_attempts", "response_body IS NOT NULL") == 0


def test_erasing_a_meeting_waits_for_its_dispatch(store: Store) -> None:
    """Deliveries that come into being meanwhile are skipped like all others."""
    store.endpoints(2)
    [event_id] = store.events(1)
    given = {"ids": [event_id], "others": 0, "events": 0, "limit": 9, "burst": 9, "disabled": "x", "gone": "x"}
    counts: list[tuple[int, int]] = []
    with store.engine.begin() as connection:
        connection.execute(dispatch_statements.DISPATCH.usual, given)
        thread = in_a_thread(store, lambda: counts.append(store.erase_meeting()))
    thread.join()
    assert counts == [(1, 2)]
    assert [each.error_message for each in store.of(event_id)] == [ERASED.message] * 2


def test_what_is_being_sent_again_is_passed_by(store: Store) -> None:
    """Nobody is waited for; what is due once more by then stays whole."""
    store.endpoints(2)
    first, second = store.settled(2)
    delivery, other = store.of(first)
    with store.unit() as unit:
        unit.deliveries.send_again(store.workspace_id, delivery.id)
        assert store.retention.erase_payloads(NO_TIME, limit=9).rows == 1
        unit.commit()
    assert store.retention.erase_payloads(NO_TIME, limit=9).rows == 0
    assert store.count("webhook_events", "payload_erased_at IS NULL") == 1
    assert [each.response_body for each in store.of(second)] == [None, None]
    kept = {each.id: each.response_body for each in store.of(first)}
    assert kept[other.id] == "you said: Weekly"


def test_sending_again_what_is_being_removed_finds_nothing(store: Store) -> None:
    """It waits for the removal, and then says that there is no such delivery."""
    store.endpoints(1)
    [event_id] = store.settled(1)
    [delivery] = store.of(event_id)
    store.retention.erase_payloads(NO_TIME, limit=9)
    said: list[BaseException] = []

    def send_again() -> None:
        try:
            with store.unit() as unit:
                unit.deliveries.send_again(store.workspace_id, delivery.id)
        except NotFoundError as error:
            said.append(error)

    with store.engine.begin() as connection:
        given = {"age": NO_TIME, "limit": 9, "moment": "-infinity", "id": event_id, **COUNTED}
        assert connection.execute(retention._REMOVE_EVENTS, given).one().rows == 1  # noqa: SLF001 - left open on purpose
        thread = in_a_thread(store, send_again)
    thread.join()
    assert [type(each) for each in said] == [NotFoundError]


def test_nothing_is_left_below_a_removed_event(store: Store) -> None:
    """Rows of all four tables are gone, and only those."""
    store.endpoints(2)
    store.settled(3)
    [kept] = store.events(1)
    store.deliveries.dispatch([kept], limit=9)
    store.retention.erase_payloads(NO_TIME, limit=9)
    assert store.retention.remove_events(NO_TIME, limit=9).rows == 3
    assert [store.count(table) for table in CHILDREN] == [1, 2, 0, 0]


def test_a_batch_is_cut_where_its_deliveries_come_to_the_limit(store: Store) -> None:
    """A large fan-out makes no long transaction, and one event that is larger than the limit goes all the same."""
    store.endpoints(3)
    store.settled(5)
    for sweep in (store.retention.erase_payloads, store.retention.remove_events):
        found: list[PurgeBatch] = [sweep(NO_TIME, limit=6)]
        while found[-1].cursor is not None:
            found.append(sweep(NO_TIME, limit=6, after=found[-1].cursor))
        assert [each.rows for each in found] == [2, 2, 1]
    store.settled(2)
    assert store.retention.erase_payloads(NO_TIME, limit=2).rows == 1


def test_any_number_of_purges_run_at_once(store: Store) -> None:
    """Together they remove everything, each row once, and none waits for another for ever."""
    store.endpoints(2)
    for _ in range(10):
        store.settled(10)

    def purge(_: int) -> int:
        rows = 0
        for sweep in (store.retention.remove_attempts, store.retention.erase_payloads, store.retention.remove_events):
            swept = sweep(NO_TIME, limit=7)
            rows += swept.rows
            while swept.cursor is not None:
                swept = sweep(NO_TIME, limit=7, after=swept.cursor)
                rows += swept.rows
        return rows

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(purge, range(4)))
    assert done + purge(0) == 200 + 100 + 100
    assert [store.count(table) for table in CHILDREN] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["_ERASE_PAYLOADS", "_REMOVE_ATTEMPTS", "_REMOVE_EVENTS", "_REMOVE_REPLAYS"])
def test_no_batch_reads_a_whole_table(store: Store, name: str) -> None:
    """There is an index for each of its steps."""
    plan = _plan(store, getattr(retention, name))
    assert "Index" in plan
    assert "Seq Scan on webhook" not in plan


def test_removing_endpoints_reads_no_whole_table(store: Store) -> None:
    """Nor does finding out whether anything names them."""
    assert "Seq Scan on webhook" not in _plan(store, retention._REMOVE_WEBHOOKS)  # noqa: SLF001 - what is told of is the statement


def _plan(store: Store, statement: Any) -> str:  # noqa: ANN401 - a statement
    given = {"age": NO_TIME, "limit": 9, "moment": "-infinity", "id": store.workspace_id, **COUNTED}
    with store.engine.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = connection.execute(text(f"EXPLAIN {statement.text}"), given)
        return "\n".join(rows.scalars())
