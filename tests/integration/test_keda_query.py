"""KEDA's query, run against the schema: it counts what more workers would help with, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
import yaml

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_event

FILE: Final = Path(__file__).parents[2] / "deploy" / "kubernetes" / "components" / "keda" / "scaledobject.yaml"
#: Endpoint and event are one each; what differs is the delivery.
ROW: Final = """
INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, status, next_attempt_at, held)
VALUES (%s, %s, %s, 'meeting.completed', 'pending', now() + %s * interval '1 s', %s)
"""


def test_what_is_due_and_what_waits_for_dispatch_counts(clean_database: str) -> None:
    """A delivery that is due later, or that waits for its endpoint's turn, does not: more workers would not help it."""
    engine = create_engine(clean_database)
    with SqlAlchemyUnitOfWork(engine, SecretBox([])) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id))
        events = [unit.events.append(an_event(workspace_id=workspace.id)) for _ in range(7)]
        unit.commit()
    engine.dispose()
    query = _query()
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        assert connection.execute(query).fetchone() == (7,)
        connection.execute("UPDATE noteflow.webhook_events SET dispatched_at = now() WHERE id <> %s", [events[0].id])
        assert connection.execute(query).fetchone() == (1,)
        for event, (wait_s, held) in zip(events, [(0, False), (-60, False), (60, False), (-60, True)], strict=False):
            connection.execute(ROW, [workspace.id, webhook.id, event.id, wait_s, held])
        assert connection.execute(query).fetchone() == (3,)


def test_it_reads_no_more_beside_many_that_wait(clean_database: str) -> None:
    """It goes by indexes, which know what is due and what is not dispatched, and reads no table from end to end."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {_query()}"))
    assert "Seq Scan" not in plan
    assert plan.count("Index") >= 2


def _query() -> str:
    scaled = list(yaml.safe_load_all(FILE.read_text()))[-1]
    query: str = scaled["spec"]["triggers"][0]["metadata"]["query"]
    return query
