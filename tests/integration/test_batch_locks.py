"""A group with results of batches locks its endpoints' health in the order of their ids, as all others do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import psycopg
import pytest

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_failure, a_webhook, a_workspace, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Settlement

BOX: Final = SecretBox([])
SLACK: Final = timedelta(seconds=30)
FAILED: Final = a_failure()
LOCK: Final = "SELECT FROM noteflow.webhook_health WHERE webhook_id = %s FOR NO KEY UPDATE"
WAITS: Final = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_health%'"


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


def failed_batches(engine: Engine) -> tuple[SqlAlchemyDeliveryStore, list[UUID], list[Settlement]]:
    """Return a store, two endpoints by their ids, and the settlements of a failed batch of each.

    The first one's batch is dead with that, the second one's is sent again.
    """
    store = SqlAlchemyDeliveryStore(engine, BOX)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace_id = unit.access.create_workspace(a_workspace()).id
        options = EndpointOptions(batch_max=2)
        ids = sorted(uuid4() for _ in range(2))
        for key, tries in zip(ids, (1, 3), strict=True):
            unit.webhooks.create(a_webhook(id=key, workspace_id=workspace_id, options=options, max_retries=tries))
        for _ in range(2):
            unit.events.append(an_event(workspace_id=workspace_id))
        unit.commit()
    store.dispatch([], limit=10)
    ends: list[Settlement] = []
    for claim in store.claim_throttled(limit=10, slow=False, lease_slack=SLACK):
        assert isinstance(claim, BatchClaim)
        ends += claim.settlements(FAILED, policy=EXACT, draw=lambda: 0.5)
    assert len(ends) == 4
    return store, ids, ends


def test_results_of_batches_hold_no_health_while_they_wait_for_one_before_it(
    engine: Engine, clean_database: str
) -> None:
    """A dispatch that has the first one's and asks for the second one's gets it: no deadlock."""
    store, (first, second), ends = failed_batches(engine)
    url = clean_database.replace("+psycopg", "")
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(url) as dispatching,
        psycopg.connect(url, autocommit=True) as database,
    ):
        assert dispatching.execute(LOCK, [first]).rowcount == 1
        settling = pool.submit(store.settle, ends)
        until(lambda: database.execute(WAITS).fetchone() == (1,), what="the settle waits for the first one's")
        assert dispatching.execute(f"{LOCK} NOWAIT", [second]).rowcount == 1
        dispatching.commit()
        assert len(settling.result(timeout=20).fencing_keys) == 4
