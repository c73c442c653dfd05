"""The second baseline: the obvious Celery app, on the same PostgreSQL (a schema of its own) and Valkey (database 1)."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from celery import Celery

from noteflow_hooks.bench.control import await_workers
from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.traffic import BODY, until_received

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage

#: The app's own names. It is not imported here, because that makes an engine, which only its processes need.
_TASK: Final = "obvious.event"
_QUEUE: Final = "obvious"
_MODULE: Final = f"{__package__}.obvious_app"
_COMMAND: Final = (sys.executable, "-m", "celery", "-A", _MODULE, "worker", "-P", "gevent", "-c", "50", "-l", "INFO")
_ALONE: Final = ("--without-gossip", "--without-mingle")
#: The app's events: it reads them by id, from 1 on.
_EVENTS: Final = 10_000
_SCHEMA: Final = """
CREATE SCHEMA obvious;
CREATE TABLE obvious.endpoints (id bigint PRIMARY KEY, url text NOT NULL, secret text NOT NULL);
CREATE TABLE obvious.events (id bigint PRIMARY KEY, endpoint_id bigint NOT NULL, payload text NOT NULL);
CREATE TABLE obvious.deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id bigint NOT NULL, endpoint_id bigint NOT NULL,
    status_code integer, response_body text, delivered_at timestamptz NOT NULL DEFAULT now()
);
"""


def obvious_rate(stage: Stage, events: int) -> float:
    """Return the deliveries a second of the obvious app, from the first event that is sent to it."""
    app = stage.kept("the obvious app", lambda: _started(stage))
    await_workers(stage, _broker(stage))
    stage.receiver.ask("reset")
    began = time.monotonic()
    with app.producer_pool.acquire() as producer:
        for event_id in range(1, events + 1):
            app.send_task(_TASK, args=[event_id], queue=_QUEUE, producer=producer)
    return events / (until_received(stage, events) - began)


def _started(stage: Stage) -> Celery:
    """Make its tables, start its workers, and return a client that sends them tasks."""
    broker = _broker(stage)
    _prepare(stage)
    env = {"BENCH_REDIS": broker, "BENCH_DATABASE": stage.system.database_url}
    for number in range(1, WORKERS + 1):
        stage.program(f"obvious-{number}", [*_COMMAND, *_ALONE, "-n", f"obvious-{number}@%h"], env=env)
    return Celery("obvious-client", broker=broker, set_as_current=False)


def _broker(stage: Stage) -> str:
    return stage.system.redis_url.removesuffix("/0") + "/1"


def _prepare(stage: Stage) -> None:
    endpoint = "INSERT INTO obvious.endpoints VALUES (1, %s, 'a-secret-of-some-length')"
    events = "INSERT INTO obvious.events SELECT number, 1, %s FROM generate_series(1, %s) AS number"
    stage.database.execute(_SCHEMA)
    stage.database.execute(endpoint, [stage.url("/ok")])
    stage.database.execute(events, [BODY, _EVENTS])
