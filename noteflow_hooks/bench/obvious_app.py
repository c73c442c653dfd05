"""The obvious Celery app, as a baseline: one task per event, one per delivery, one POST and one committed row each.

It is what a careful developer would write in an afternoon: tasks acknowledged late so that a crash repeats them, a
session and a connection pool for each process, ids as arguments, a signature. It has no claims, leases or egress rules.
``BENCH_REDIS`` and ``BENCH_DATABASE`` name its servers; its tables are in a schema of their own, ``obvious``.
"""

from __future__ import annotations

import os
from typing import Final

import requests
from celery import Celery
from requests.adapters import HTTPAdapter
from sqlalchemy import create_engine, text

from noteflow_hooks.signing import sign

EVENT_TASK: Final = "obvious.event"

app = Celery("obvious", broker=os.environ.get("BENCH_REDIS"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_default_queue="obvious",
    broker_transport_options={"max_connections": 500},
    broker_connection_retry_on_startup=True,
)
_engine = create_engine(
    os.environ.get("BENCH_DATABASE", "postgresql+psycopg://").replace("postgresql://", "postgresql+psycopg://"),
    pool_size=20,
    max_overflow=0,
)
_session = requests.Session()
# No proxies from the environment: looking them up for each POST would cost it time for nothing.
_session.trust_env = False
_session.mount("http://", HTTPAdapter(pool_maxsize=100))


@app.task(name=EVENT_TASK)
def event(event_id: int) -> None:
    """Start a delivery of the event for each of its endpoints."""
    with _engine.connect() as connection:
        found = connection.execute(
            text("SELECT p.id FROM obvious.endpoints p JOIN obvious.events e ON e.endpoint_id = p.id WHERE e.id = :id"),
            {"id": event_id},
        )
        endpoint_ids = list(found.scalars())
    for endpoint_id in endpoint_ids:
        deliver.delay(event_id, endpoint_id)


@app.task(name="obvious.deliver", bind=True, max_retries=3)
def deliver(self, event_id: int, endpoint_id: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Celery's task
    """Make the POST and record it."""
    with _engine.connect() as connection:
        url, secret, payload = connection.execute(
            text(
                "SELECT p.url, p.secret, e.payload FROM obvious.endpoints p, obvious.events e"
                " WHERE p.id = :endpoint AND e.id = :event"
            ),
            {"endpoint": endpoint_id, "event": event_id},
        ).one()
    body = payload.encode()
    headers = {
        "Content-Type": "application/json",
        "X-NoteFlow-Signature": sign(body, secret),
        "webhook-id": f"{event_id:036d}",
    }
    try:
        answer = _session.post(url, data=body, headers=headers, timeout=10)
    except requests.RequestException as error:
        raise self.retry(exc=error, countdown=2**self.request.retries) from error
    with _engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO obvious.deliveries (event_id, endpoint_id, status_code, response_body)"
                " VALUES (:event, :endpoint, :status, :body)"
            ),
            {"event": event_id, "endpoint": endpoint_id, "status": answer.status_code, "body": answer.text[:4096]},
        )
