"""Workers of the release before this schema beside those of this one: each delivery is claimed by one of them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.domain.skipping import DISABLED, ERASED
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_attempt_result, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([])
#: The statements of schema 0009's workers, to the letter.
FORMER: Final = {
    path.stem: text(path.read_text(encoding="utf-8"))
    for path in (Path(__file__).parents[1] / "support" / "former").glob("*.sql")
}
SLACK: Final = timedelta(seconds=10)
LEASE: Final = {"slack_s": SLACK.total_seconds(), "concurrency": 100}
ENDPOINTS: Final = 20
EVENTS_EACH: Final = 20
CHUNK: Final = 15
#: A type of a workspace's own, of which the former release knows nothing.
OWN: Final = "custom.order_paid"


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


class Workers:
    """Both releases' workers, each step of theirs one statement, and what they claimed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.store = SqlAlchemyDeliveryStore(engine, BOX)
        self.claimed: Counter[UUID] = Counter()
        self.by: Counter[str] = Counter()
        self._lock = threading.Lock()

    def publish(self, count: int) -> None:
        with SqlAlchemyUnitOfWork(self.engine, BOX) as unit:
            for _ in range(ENDPOINTS):
                workspace = unit.access.create_workspace(a_workspace())
                unit.webhooks.create(a_webhook(workspace_id=workspace.id, events=(OWN, "meeting.completed")))
                for number in range(count):
                    kind = OWN if number % 2 else "meeting.completed"
                    unit.events.append(an_event(workspace_id=workspace.id, event_type=kind))
            unit.commit()

    def note(self, ids: list[UUID], *, by: str) -> None:
        with self._lock:
            self.claimed.update(ids)
            self.by[by] += len(ids)

    def former(self) -> None:
        """Do what a worker of the former release does: dispatch a few events, claim, and settle."""
        given = {"ids": [], "others": CHUNK, "limit": CHUNK, "burst": 50, "disabled": DISABLED.message}
        with self.alone.connect() as connection:
            made = connection.execute(FORMER["dispatch_and_claim"], {**given, **LEASE, "claim": CHUNK // 3}).all()
            named = {"ids": list(made[-1].delivery_ids), "limit": CHUNK, **LEASE}
            rows = [*made, *connection.execute(FORMER["claim"], named).all()]
            claims = {row.id: row for row in rows if row.id is not None}
            self.note(list(claims), by="former")
            results = json.dumps([_success(row) for row in claims.values()])
            stored = connection.execute(FORMER["settle"], {"rows": results, "erased": ERASED.message}).all()
            assert len(stored) == len(claims)

    def present(self) -> None:
        """Do the same as a worker of this release does it."""
        made = self.store.dispatch([], limit=CHUNK, claim=CHUNK // 3, lease_slack=SLACK)
        claims = [*made.claims, *self.store.claim(made.delivery_ids, limit=CHUNK, lease_slack=SLACK)]
        self.note([each.delivery.id for each in claims], by="present")
        result = an_attempt_result()
        settlements = []
        for claim in claims:
            after, _ = claim.delivery.attempted(result, max_retries=3, policy=RetryPolicy(jitter=0), draw=0)
            settlements.append(Settlement(after, attempt=result))
        assert len(self.store.settle(settlements).fencing_keys) == len(settlements)

    def sweep(self) -> None:
        """Move what the other release left; it sweeps far more often than it ever would."""
        self.store.reclaim_expired(limit=50)

    def left(self) -> int:
        """Return how many deliveries are missing or not settled."""
        statement = "SELECT count(*) FROM noteflow.webhook_deliveries WHERE status = 'succeeded'"
        with self.alone.connect() as connection:
            return ENDPOINTS * EVENTS_EACH - int(connection.scalar(text(statement)) or 0)


def _success(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of the former statement
    attempt = {
        "started_at": datetime.now(UTC).isoformat(),
        "duration_ms": 1,
        "status_code": 200,
        "error_kind": None,
        "error_message": None,
        "redialled": False,
    }
    return {
        "id": str(row.id),
        "claim_no": row.claim_no,
        "status": "succeeded",
        "status_code": 200,
        "response_body": "ok",
        "error_message": None,
        "attempt_count": row.attempt_count + 1,
        "duration_ms": 1,
        "budget_used": 1,
        "interruptions": 0,
        "wait_s": 0.0,
        "notable": False,
        "attempt": attempt,
    }


def test_no_delivery_is_claimed_by_both_releases_and_none_is_lost(engine: Engine) -> None:
    """Two workers of each, and the sweep of this one, until all is settled: one claim and one attempt each."""
    workers = Workers(engine)
    workers.publish(EVENTS_EACH)
    ended = threading.Event()

    def go_on(step: Callable[[], None]) -> None:
        while not ended.is_set():
            step()

    steps = (workers.former, workers.former, workers.present, workers.present, workers.sweep)
    with ThreadPoolExecutor(len(steps)) as pool:
        running = [pool.submit(go_on, step) for step in steps]
        until(lambda: workers.left() == 0 or any(each.done() for each in running), what="all is delivered")
        ended.set()
        for each in running:
            each.result()
    workers.sweep()
    with engine.connect() as connection:
        queued, attempts = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM noteflow.delivery_queue),"
                " (SELECT count(*) FROM noteflow.webhook_attempts)"
            )
        ).one()
    assert (queued, attempts) == (0, ENDPOINTS * EVENTS_EACH)
    assert len(workers.claimed) == workers.claimed.total() == ENDPOINTS * EVENTS_EACH
    assert min(workers.by["former"], workers.by["present"]) > 0
