"""What `celery events` and Flower see of a real worker: each task from its receipt to its end, the last ones too."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from celery import Celery

from noteflow_hooks.broker.names import MAINTENANCE_QUEUE, RELAY_TASK, SWEEP_TASK
from noteflow_hooks.crypto import generate_key
from tests.support.celery_program import celery_program, worker_options
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A sweep that meets this lock does not end.
LOCK: Final = "LOCK TABLE noteflow.webhook_deliveries, noteflow.delivery_queue IN ACCESS EXCLUSIVE MODE"
RECEIVED, STARTED, SUCCEEDED = "task-received", "task-started", "task-succeeded"


class Watcher:
    """What whoever watches events is told; Flower and `celery events` are told by the same receiver of Celery's."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.is_there = Event()

    def watch(self, app: Celery) -> None:
        """Take events until the watcher's `should_stop`."""
        with app.connection_for_read() as connection:
            self.receiver = app.events.Receiver(connection, handlers={"*": self.told.append})
            with self.receiver.consumer_context():
                self.is_there.set()
            self.receiver.capture(limit=None, timeout=None, wakeup=False)

    def of_tasks(self, kind: str) -> set[str]:
        """Return which tasks this was told of."""
        return {each["uuid"] for each in tuple(self.told) if each["type"] == kind}


@contextmanager
def watching(app: Celery) -> Iterator[Watcher]:
    """Watch while the block runs."""
    watcher = Watcher()
    thread = Thread(target=watcher.watch, args=(app,))
    thread.start()
    try:
        assert watcher.is_there.wait(30)
        yield watcher
    finally:
        watcher.receiver.should_stop = True
        thread.join()


def call(app: Celery, task: str) -> str:
    """Have a task done, and return its id."""
    return str(app.send_task(task, queue=MAINTENANCE_QUEUE, ignore_result=True).id)


@pytest.mark.parametrize(
    "pool",
    ["gevent", pytest.param("threads", marks=pytest.mark.chaos), pytest.param("prefork", marks=pytest.mark.chaos)],
)
def test_each_task_is_seen_from_its_receipt_to_its_end(
    tmp_path: Path, database_url: str, redis_url: str, pool: str
) -> None:
    """Also one that ends when the worker has been told to end, and is waited for."""
    settings = {"database_url": database_url, "redis_url": redis_url, "secret_keys": generate_key()}
    with Celery(broker=redis_url, set_as_current=False) as app, watching(app) as watcher:
        with celery_program(tmp_path, "worker", *worker_options(pool, 4), "-E", settings=settings) as worker:
            tasks = {call(app, RELAY_TASK) for _ in range(40)}
            until(lambda: watcher.of_tasks(SUCCEEDED) >= tasks, what="all their ends are seen")
            with psycopg.connect(database_url.replace("+psycopg", "")) as database:
                database.execute(LOCK)
                tasks.add(call(app, SWEEP_TASK))
                until(lambda: watcher.of_tasks(STARTED) >= tasks, what="one is under way")
                worker.process.terminate()
                until(lambda: any(each["type"] == "worker-offline" for each in tuple(watcher.told)), what="it ends")
                assert worker.is_alive
            worker.process.wait(timeout=60)
        until(lambda: watcher.of_tasks(SUCCEEDED) >= tasks, what="its end is seen, too")
    assert [watcher.of_tasks(kind) >= tasks for kind in (RECEIVED, STARTED, SUCCEEDED)] == [True] * 3
    own = [each for each in watcher.told if each.get("uuid") in tasks]
    assert len(own) == 3 * len(tasks)
    assert {each["name"] for each in own if each["type"] == RECEIVED} == {RELAY_TASK, SWEEP_TASK}
