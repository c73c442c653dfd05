"""Several endpoints that give their challenges back at once, beside others that change their health."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.challenges import Challenge, Verification
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.verification import verification_event
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import EXACT, a_webhook, a_workspace, an_attempt_result
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([b"k" * 32])
SLACK: Final = timedelta(seconds=30)
LOCK: Final = "SELECT FROM noteflow.webhook_health WHERE webhook_id = '{}' FOR NO KEY UPDATE"
WAITS: Final = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%webhook_health%'"


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database, connections=4)
    yield made
    made.dispose()


def asked(engine: Engine, *, endpoints: int) -> list[UUID]:
    """Store endpoints that are asked; return the ids of the events that ask them."""
    now = datetime.now(UTC)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace_id = unit.access.create_workspace(a_workspace()).id
        ids = []
        for _ in range(endpoints):
            challenge = Challenge.new(now)
            webhook = a_webhook(workspace_id=workspace_id, verification=Verification(now, challenge=challenge))
            unit.events.append(verification_event(unit.webhooks.create(webhook), challenge, now=now))
            ids.append(challenge.event_id)
        unit.commit()
    return ids


def test_their_health_is_locked_in_the_order_of_their_ids(engine: Engine, clean_database: str) -> None:
    """Whatever order their answers came in: two workers that each have what the other wants would wait for ever."""
    store = SqlAlchemyDeliveryStore(engine, BOX)
    claims = store.dispatch(asked(engine, endpoints=2), limit=10, claim=10, lease_slack=SLACK).claims
    first, second = sorted(each.webhook.id for each in claims)
    ok = an_attempt_result()
    answers = [
        Settlement(each.delivery.attempted(ok, max_retries=3, policy=EXACT, draw=0.5)[0], attempt=ok)
        for each in sorted(claims, key=lambda claim: claim.webhook.id, reverse=True)
    ]
    plain = clean_database.replace("+psycopg", "")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(plain, autocommit=True) as database, engine.begin() as other:
        other.execute(text(LOCK.format(first)))
        settling = pool.submit(store.settle, answers)
        until(lambda: database.execute(WAITS).fetchone() == (1,), what="the settle waits for the first one")
        database.execute(f"{LOCK.format(second)} NOWAIT")  # free, or this raises
        other.commit()
        assert len(settling.result(timeout=20).fencing_keys) == 2
        unverified = "SELECT count(*) FROM noteflow.webhook_configs WHERE unverified_since IS NOT NULL"
        assert database.execute(unverified).fetchone() == (0,)
