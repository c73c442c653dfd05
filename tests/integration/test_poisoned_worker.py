"""Workers with child processes, and under gevent, fed with poison: they live, and have all their slots afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pytest
from celery import Celery
from redis import Redis

from noteflow_hooks.broker.names import SWEEP_TASK
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.local.stack.environment import variables
from tests.support.poison_messages import POISON, a_message
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Pools, each with its slots; what a gevent worker fetches beyond them is as much again.
PREFORK: Final = ("prefork", 2)
GEVENT: Final = ("gevent", 4)
#: A sweep that meets this lock stays in its slot.
LOCK: Final = "LOCK TABLE webhook_deliveries IN ACCESS EXCLUSIVE MODE"


@contextmanager
def working(folder: Path, pool: str, slots: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; its log is in the folder."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-P", pool, "-c", str(slots)]
    alone = ["--without-gossip", "--without-mingle", "-l", "INFO"]
    with (folder / "log").open("wb") as output:
        worker = subprocess.Popen([*command, *alone], env=variables(settings), cwd=folder, stdout=output, stderr=output)
        try:
            until(lambda: b" ready." in (folder / "log").read_bytes(), what="the worker is ready")
            yield worker
        finally:
            worker.terminate()
            worker.wait(timeout=PATIENCE_S)


def running(url: str) -> int:
    """Return how many tasks the workers say they are at."""
    with Celery(broker=url, set_as_current=False) as app:
        asked: Any = app.control.inspect(timeout=1)
        return sum(len(tasks) for tasks in (asked.active() or {}).values())


@pytest.mark.parametrize(("pool", "slots"), [PREFORK, GEVENT], ids=["prefork", "gevent"])
def test_poison_takes_no_slot_and_ends_no_process(tmp_path: Path, database_url: str, pool: str, slots: int) -> None:
    """All of it three times over; then as many tasks run at once as before, in the processes that there were."""
    log = tmp_path / "log"
    with EmbeddedValkey(tmp_path / "valkey") as server, Redis.from_url(server.url) as broker:
        settings = {"database_url": database_url, "redis_url": server.url, "secret_keys": generate_key()}
        with working(tmp_path, pool, slots, **settings) as worker:
            before = {each.pid for each in psutil.Process(worker.pid).children(recursive=True)}
            for each in POISON.values():
                broker.lpush("deliver", *[each] * 3)
            until(lambda: broker.llen("deliver") == 0, what="the poison is consumed")
            with psycopg.connect(database_url.replace("+psycopg", "")) as database:
                database.execute(LOCK)
                broker.lpush("maintenance", *(json.dumps(a_message(task=SWEEP_TASK)) for _ in range(slots)))
                until(lambda: running(server.url) == slots, what="a task runs in each slot")
            until(lambda: log.read_bytes().count(b"taken back") == slots, what="the sweeps have run")
            assert worker.poll() is None
            assert {each.pid for each in psutil.Process(worker.pid).children(recursive=True)} == before
            assert b"Unrecoverable error" not in log.read_bytes()
            assert b"celery.chunks" not in log.read_bytes()
