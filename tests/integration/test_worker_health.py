"""What the signs of life of a real worker say whose tasks don't end: of frozen children, and of its own loop."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psutil
from celery import Celery

from noteflow_hooks.broker.names import MAINTENANCE_QUEUE, RELAY_TASK
from noteflow_hooks.cli.health.answers import alive, worker_ready
from noteflow_hooks.concurrency.pulse import read
from noteflow_hooks.crypto import generate_key
from tests.support.celery_program import CeleryProgram, celery_program, worker_options
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.concurrency.pulse import Signs


@contextmanager
def worker_under(pool: str, folder: Path, *, redis_url: str, database_url: str) -> Iterator[CeleryProgram]:
    """Run one that leaves its signs of life in the folder."""
    settings = {
        "database_url": database_url,
        "redis_url": redis_url,
        "secret_keys": generate_key(),
        "run_dir": folder / "run",
    }
    with celery_program(folder, "worker", *worker_options(pool, 2), settings=settings) as worker:
        yield worker


def signs(folder: Path) -> Signs:
    """Return what the worker says of itself."""
    [file] = (folder / "run").glob("worker-*")
    return read(file)


def call_relay(redis_url: str) -> None:
    """Give the worker something to do."""
    with closing(Celery(broker=redis_url, set_as_current=False)) as app:
        app.send_task(RELAY_TASK, queue=MAINTENANCE_QUEUE, ignore_result=True)


def test_a_worker_whose_children_are_frozen_is_alive_and_not_ready(tmp_path: Path, redis_url: str) -> None:
    """Its own loop turns, and what it took is not done: a probe need not restart it, and nobody counts on it."""
    with worker_under("prefork", tmp_path, redis_url=redis_url, database_url="postgresql://u@127.0.0.1:1/x") as worker:
        until(lambda: worker_ready(signs(tmp_path), within_s=2).is_yes, what="it is ready")
        children = psutil.Process(worker.process.pid).children()
        for each in children:
            each.suspend()
        try:
            call_relay(redis_url)
            until(lambda: worker_ready(signs(tmp_path), within_s=2).why.startswith("it has work"), what="none is done")
            assert not worker_ready(signs(tmp_path), within_s=2).is_yes
            assert alive(signs(tmp_path), within_s=30).is_yes
        finally:
            for each in children:
                each.resume()
        until(lambda: not worker_ready(signs(tmp_path), within_s=2).why.startswith("it has work"), what="it goes on")


def test_a_worker_whose_loop_does_a_long_task_is_alive(tmp_path: Path, redis_url: str) -> None:
    """Under `-P solo`, for as long as a task may take; here one waits for a database that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database_url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x"
        with worker_under("solo", tmp_path, redis_url=redis_url, database_url=database_url):
            call_relay(redis_url)
            until(lambda: signs(tmp_path).task_s is not None, what="it has begun")
            # Two turns of its loop are a second apart.
            until(lambda: not alive(signs(tmp_path), within_s=2).is_yes, what="its loop stands still")
            answer = alive(signs(tmp_path), within_s=2, task_s=40)
            assert (answer.is_yes, "its loop does a task" in answer.why) == (True, True)
            until(lambda: signs(tmp_path).task_s is None, what="it ends")
            assert alive(signs(tmp_path), within_s=10).is_yes
