"""Workers with child processes, and under gevent, fed with poison: they live, and have all their slots afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pytest
from celery import Celery
from redis import Redis

from noteflow_hooks.broker.names import SWEEP_TASK
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.servers import EmbeddedValkey
from tests.support.celery_program import celery_program, worker_options
from tests.support.poison_messages import POISON, a_message
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

#: Pools, each with its slots; what a gevent worker fetches beyond them is as much again.
PREFORK: Final = ("prefork", 2)
GEVENT: Final = ("gevent", 4)
#: A sweep that meets this lock stays in its slot.
LOCK: Final = "LOCK TABLE webhook_deliveries IN ACCESS EXCLUSIVE MODE"


def children(pid: int) -> set[int]:
    return {each.pid for each in psutil.Process(pid).children(recursive=True)}


def running(url: str) -> int:
    """Return how many tasks the workers say they are at."""
    with Celery(broker=url, set_as_current=False) as app:
        asked: Any = app.control.inspect(timeout=1)
        return sum(len(tasks) for tasks in (asked.active() or {}).values())


@pytest.mark.parametrize(("pool", "slots"), [PREFORK, GEVENT], ids=["prefork", "gevent"])
def test_poison_takes_no_slot_and_ends_no_process(tmp_path: Path, database_url: str, pool: str, slots: int) -> None:
    """All of it three times over; then as many tasks run at once as before, in the processes that there were."""
    with EmbeddedValkey(tmp_path / "valkey") as server, Redis.from_url(server.url) as broker:
        settings = {"database_url": database_url, "redis_url": server.url, "secret_keys": generate_key()}
        # At DEBUG a sweep that finds nothing has its line, too.
        options = (*worker_options(pool, slots), "-l", "DEBUG")
        with celery_program(tmp_path, "worker", *options, settings=settings) as worker:
            before = children(worker.process.pid)
            for each in POISON.values():
                broker.lpush("deliver", *[each] * 3)
            until(lambda: broker.llen("deliver") == 0, what="the poison is consumed")
            with psycopg.connect(database_url.replace("+psycopg", "")) as database:
                database.execute(LOCK)
                broker.lpush("maintenance", *(json.dumps(a_message(task=SWEEP_TASK)) for _ in range(slots)))
                until(lambda: running(server.url) == slots, what="a task runs in each slot")
            until(lambda: worker.log.count(b" reclaimed, ") == slots, what="the sweeps have run")
            assert worker.is_alive
            assert children(worker.process.pid) == before
            assert b"Unrecoverable error" not in worker.log
            assert b"celery.chunks" not in worker.log
