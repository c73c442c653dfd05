"""Order in PostgreSQL with many workers at once, whatever takes a head away, and beside a million others."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.options import EndpointOptions, Ordering
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.persistence.sql.delivery import order_statements
from noteflow_hooks.persistence.sql.delivery.order_keeper import OrderedClaims, OrderKeeper
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.intake import SqlEventIntake
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_webhook, a_workspace, an_attempt_result, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.webhooks import WebhookConfig

BOX: Final = SecretBox([])
SLACK: Final = timedelta(seconds=30)
IN_ORDER: Final = EndpointOptions(ordering=Ordering.PER_MEETING)
OK: Final = an_attempt_result(status_code=200)
FAILED: Final = an_attempt_result(status_code=500)


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database, connections=12)
    yield made
    made.dispose()


@pytest.fixture
def database(clean_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


class Stage:
    """A workspace with endpoints that get everything in order."""

    def __init__(
        self, engine: Engine, *, endpoints: int = 1, max_retries: int = 3, options: EndpointOptions = IN_ORDER
    ) -> None:
        self.engine = engine
        self.store = SqlAlchemyDeliveryStore(engine, BOX)
        self.intake = SqlEventIntake(engine)
        with SqlAlchemyUnitOfWork(engine, BOX) as unit:
            self.workspace_id = unit.access.create_workspace(a_workspace()).id
            self.webhooks: list[WebhookConfig] = [
                unit.webhooks.create(
                    a_webhook(workspace_id=self.workspace_id, options=options, max_retries=max_retries)
                )
                for _ in range(endpoints)
            ]
            unit.commit()

    def publish(self, *meetings: str, dispatch: bool = True) -> list[UUID]:
        """Record an event of each of these meetings."""
        made = [an_event(workspace_id=self.workspace_id, meeting_id=each) for each in meetings]
        self.intake.store(made)
        ids = [each.id for each in made]
        if dispatch:
            self.dispatch(ids)
        return ids

    def dispatch(self, ids: list[UUID]) -> None:
        while self.store.dispatch(ids, limit=500).more:
            pass

    def claimed(self, limit: int = 50) -> list[Claim]:
        return list(self.store.claim_throttled(limit=limit, slow=False, lease_slack=SLACK))

    def settle(self, claim: Claim, *, ok: bool, wait: timedelta = timedelta(0)) -> None:
        after, ruled = claim.delivery.attempted(
            OK if ok else FAILED, max_retries=claim.webhook.max_retries, policy=EXACT, draw=0.5
        )
        self.store.settle([Settlement(after, wait=None if ruled is None else wait, attempt=OK if ok else FAILED)])


class Ledger:
    """What workers have sent with success, by endpoint and meeting, in the order in which it was."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[UUID, str], list[int]] = defaultdict(list)
        self._under_way: set[tuple[UUID, str]] = set()
        self._lock = threading.Lock()

    def send(self, claim: Claim, *, ok: bool) -> None:
        """Note it; fail where another one of the same meeting is under way to the same endpoint."""
        key = claim.webhook.id, claim.delivery.ordered_meeting or ""
        with self._lock:
            assert key not in self._under_way
            self._under_way.add(key)
        threading.Event().wait(0)
        with self._lock:
            if ok and claim.rank is not None:
                self.numbers[key].append(claim.rank.sequence)
            self._under_way.discard(key)


def test_many_workers_keep_each_meetings_order_and_leave_nothing(engine: Engine, database: psycopg.Connection) -> None:
    """Dispatchers, claims and settles at once, a third of the attempts failing: each ledger rises, and all is sent."""
    stage, ledger, done = Stage(engine, endpoints=2, max_retries=20), Ledger(), threading.Event()

    def publish(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(10):
            ids = stage.publish(*draw.sample("abcdefgh", 5), dispatch=False)
            draw.shuffle(ids)
            for each in ids:
                stage.store.dispatch([each], limit=50, events=1)

    def deliver(seed: int) -> None:
        draw = random.Random(seed)
        while not done.is_set():
            for each in stage.claimed(limit=6):
                ok = draw.random() > 0.3
                ledger.send(each, ok=ok)
                stage.settle(each, ok=ok)
            # What was tried before and is due comes with its message.
            stage.store.claim([], limit=6, lease_slack=SLACK)

    left = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE status <> 'succeeded'"
    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(deliver, seed) for seed in range(4)]
        for each in [pool.submit(publish, seed) for seed in range(4)]:
            each.result(timeout=60)
        stage.dispatch([])
        until(
            lambda: database.execute(left).fetchone() == (0,) or any(each.done() for each in workers),
            what="all is sent, without the sweep",
            timeout_s=60,
        )
        done.set()
        for each in workers:
            each.result(timeout=20)
    assert sum(map(len, ledger.numbers.values())) == 2 * 4 * 10 * 5
    assert all(numbers == sorted(numbers) for numbers in ledger.numbers.values())
    assert database.execute("SELECT count(*) FROM noteflow.delivery_queue").fetchone() == (0,)


def test_a_batch_takes_nothing_that_its_slot_has_not_looked_at(engine: Engine) -> None:
    """A slot looks at so many deliveries; a batch may have room for more, which are behind one of their meeting."""
    stage = Stage(engine, options=replace(IN_ORDER, batch_max=100))
    stage.publish(*["a"] * 700)
    [batch] = stage.claimed()
    assert isinstance(batch, BatchClaim)
    assert [each.rank for each in batch.members] == [Rank(1)]
    assert stage.claimed() == []


def test_what_somebody_is_busy_with_joins_no_batch_past_its_place(
    engine: Engine, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is free again between the slot's look at what is new and the batch that it makes."""
    stage = Stage(engine, options=replace(IN_ORDER, batch_max=10))
    stage.publish("a")
    [first] = stage.claimed()
    stage.publish("a")
    claim = OrderKeeper.claim
    lock = "SELECT FROM noteflow.delivery_queue WHERE status = 'pending' FOR UPDATE"
    with psycopg.connect(database.info.dsn, password=database.info.password) as busy, monkeypatch.context() as patched:

        def free_again(keeper: OrderKeeper) -> OrderedClaims:
            found = claim(keeper)
            busy.rollback()
            return found

        patched.setattr(OrderKeeper, "claim", free_again)
        busy.execute(lock)
        assert stage.claimed() == []
    assert stage.claimed() == []
    assert isinstance(first, BatchClaim)
    end = first.settlements(OK, policy=EXACT, draw=lambda: 0.5)
    stage.store.settle(end)
    [second] = stage.claimed()
    assert second.rank == Rank(2)


def test_a_settle_that_meets_a_slot_is_seen_by_the_next_one(engine: Engine, database: psycopg.Connection) -> None:
    """The head ends while a slot, which still sees it under way, blocks what is behind it."""
    stage = Stage(engine)
    stage.publish("a")
    [head] = stage.claimed()
    stage.publish("a")
    with ThreadPoolExecutor(1) as pool, engine.begin() as slot:
        # As a slot holds it.
        slot.execute(text("SELECT FROM noteflow.webhook_health FOR NO KEY UPDATE"))
        settling = pool.submit(stage.settle, head, ok=True)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_health%'"
        until(lambda: database.execute(waits).fetchone() == (1,), what="the settle waits for the slot")
        slot.execute(text("UPDATE noteflow.webhook_health SET turn_at = NULL"))
        slot.execute(
            text(
                "UPDATE noteflow.delivery_queue SET ordered_meeting = 'a', sequence = 2,"
                " next_attempt_at = next_attempt_at + interval '8766000 hours' WHERE status = 'pending'"
            )
        )
        slot.commit()
        settling.result(timeout=20)
    [following] = stage.claimed()
    assert following.rank is not None
    assert following.rank.sequence == 2


def test_a_redelivery_that_meets_a_slot_knows_what_that_sends(engine: Engine, database: psycopg.Connection) -> None:
    """A later one that is claimed while it is asked for has been sent before it: it is out of order."""
    stage = Stage(engine)
    stage.publish("a")
    [head] = stage.claimed()
    stage.settle(head, ok=True)

    def send_again() -> None:
        with SqlAlchemyUnitOfWork(engine, BOX) as unit:
            unit.deliveries.send_again(stage.workspace_id, head.delivery.id)
            unit.commit()

    with ThreadPoolExecutor(1) as pool, engine.begin() as slot:
        # As a slot holds it, and notes that the second one is sent.
        slot.execute(text("SELECT FROM noteflow.webhook_health FOR NO KEY UPDATE"))
        asking = pool.submit(send_again)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_health%'"
        until(lambda: database.execute(waits).fetchone() == (1,), what="the redelivery waits for the slot")
        slot.execute(text("UPDATE noteflow.meeting_orders SET sent = 2"))
        slot.commit()
        asking.result(timeout=20)
    again = stage.store.claim([head.delivery.id], limit=1, lease_slack=SLACK)
    assert [each.rank for each in again] == [Rank(1, is_late=True)]


def test_whatever_takes_a_head_away_lets_the_next_one_go(engine: Engine, database: psycopg.Connection) -> None:
    """Somebody's hand, too: the queue's trigger notes the meeting, and the sweep gives the endpoint a slot."""
    stage = Stage(engine)
    stage.publish("a", "a", "a")
    [head] = stage.claimed()
    database.execute("DELETE FROM noteflow.delivery_queue WHERE id = %s", [head.delivery.id])
    stage.store.count_throttled(limit=10)
    [second] = stage.claimed()
    assert second.rank is not None
    assert second.rank.sequence == 2
    # A note that is lost, with it what it was about.
    database.execute("SET session_replication_role = replica")
    database.execute("DELETE FROM noteflow.delivery_queue WHERE id = %s", [second.delivery.id])
    stage.store.count_throttled(limit=10)
    [third] = stage.claimed()
    assert third.rank is not None
    assert third.rank.sequence == 3


def test_a_head_whose_worker_died_comes_back_before_the_rest(engine: Engine, database: psycopg.Connection) -> None:
    """Five times, and then it is dead, and the next one goes with its gap."""
    stage = Stage(engine)
    stage.publish("a", "a")
    for _ in range(5):
        [head] = stage.claimed()
        assert head.rank is not None
        assert head.rank.sequence == 1
        database.execute(
            "UPDATE noteflow.delivery_queue SET lease_expires_at = now(), claimed_at = now() WHERE id = %s",
            [head.delivery.id],
        )
        assert stage.store.reclaim_expired(limit=10) == 1
        stage.store.claim([head.delivery.id], limit=1, lease_slack=SLACK)
    [following] = stage.claimed()
    assert following.rank is not None
    assert (following.rank.sequence, following.rank.gap) == (2, 1)


def test_a_session_that_knows_no_options_claims_nothing_of_an_ordered_endpoint(
    engine: Engine, clean_database: str
) -> None:
    """It stays pending, for a worker of this release."""
    stage = Stage(engine)
    stage.publish("a", "a")
    former = create_engine(f"{clean_database}&options=-c%20noteflow_hooks.options%3Dsigning")
    try:
        store = SqlAlchemyDeliveryStore(former, BOX)
        assert list(store.claim_throttled(limit=9, slow=False, lease_slack=SLACK)) == []
        assert list(store.claim([], limit=9, lease_slack=SLACK)) == []
    finally:
        former.dispose()
    stage.store.count_throttled(limit=10)
    # What that session was kept from is looked at again a moment later.
    until(lambda: len(stage.claimed()) == 1, what="a worker of this release has it")


def test_a_slot_costs_the_same_beside_many_that_are_blocked(engine: Engine, database: psycopg.Connection) -> None:
    """Blocks read, with 20 and with 20,000 of the meeting blocked."""
    stage = Stage(engine)
    stage.publish("a")
    [head] = stage.claimed()
    costs = []
    for more in (20, 20_000):
        database.execute(
            "WITH made AS (INSERT INTO noteflow.webhook_events"
            " (workspace_id, event_type, meeting_id, payload, occurred_at, dispatched_at, sequence)"
            " SELECT %(workspace)s, 'meeting.completed', 'a', '{}', now(), now(), n"
            " FROM generate_series(%(begin)s + 1, %(begin)s + %(more)s) AS n RETURNING id, sequence)"
            " INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, status, held,"
            " next_attempt_at, ordered_meeting, sequence)"
            " SELECT %(workspace)s, %(webhook)s, id, 'meeting.completed', 'pending', true,"
            " now() + interval '8766000 hours', 'a', sequence FROM made",
            {"workspace": stage.workspace_id, "webhook": stage.webhooks[0].id, "more": more, "begin": 1_000_000 - more},
        )
        database.execute("ANALYZE noteflow.delivery_queue, noteflow.webhook_events")
        costs.append(_blocks(engine, stage.webhooks[0]))
        database.execute("DELETE FROM noteflow.webhook_events WHERE sequence > 1")
    assert costs[1] < 3 * costs[0] + 100
    assert head.delivery.sequence == 1


def test_a_slot_looks_at_little_more_than_it_may_claim(engine: Engine, database: psycopg.Connection) -> None:
    """Beside 200 meetings it walks through those that it has places for and a few others; all go in their turn."""
    stage = Stage(engine)
    stage.publish(*[f"m{number}" for number in range(200)])
    claims = sent = stage.claimed(limit=5)
    assert len(sent) == 5
    assert (database.execute("SELECT count(*) FROM noteflow.meeting_orders").fetchone() or (0,))[0] < 30
    while claims:
        for each in claims:
            stage.settle(each, ok=True)
        claims = stage.claimed(limit=5)
        sent += claims
    assert len({each.delivery.id for each in sent}) == 200


def test_a_burst_of_one_meeting_keeps_no_other_back(engine: Engine) -> None:
    """What is behind its head is blocked, slot by slot, until the other's turn comes; none waits for the sweep."""
    stage = Stage(engine)
    stage.publish(*["a"] * 700, "b")
    sent: list[Claim] = []
    for _ in range(30):
        sent += stage.claimed(limit=2)
    assert [each.delivery.ordered_meeting for each in sent] == ["a", "b"]


def _blocks(engine: Engine, webhook: WebhookConfig) -> int:
    """Return how many blocks a slot reads to find what is new, and what is next of the meeting."""
    ids = {"webhook_ids": [webhook.id]}
    meeting = {"workspace_ids": [webhook.workspace_id], "meeting_ids": ["a"], "behind": [0]}
    read = 0
    with engine.begin() as connection:
        for statement, params in (
            (order_statements.CANDIDATES, {**ids, "limit": 500}),
            (order_statements.STEPS, {**ids, **meeting, "limit": 8}),
        ):
            explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}")
            plan = connection.execute(explained, params).scalar_one()[0]["Plan"]
            read += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read
