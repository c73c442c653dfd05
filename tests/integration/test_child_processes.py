"""A worker's child processes leave SIGTERM to it, and end when it says so."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psutil
from celery import Celery

from noteflow_hooks.crypto import generate_key
from tests.support.celery_program import CeleryProgram, celery_program, worker_options
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


def children(worker: CeleryProgram) -> list[psutil.Process]:
    """Return those that have not ended."""
    found = psutil.Process(worker.process.pid).children()
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_still_ends_its_children_and_nobody_else_does(tmp_path: Path, redis_url: str) -> None:
    """SIGTERM ends none of them, whoever sends it; a worker that is to have one fewer ends one."""
    settings = {
        "database_url": "postgresql://u@127.0.0.1:1/x",
        "redis_url": redis_url,
        "secret_keys": generate_key(),
    }
    options = worker_options("prefork", 2)
    with (
        celery_program(tmp_path, "worker", *options, settings=settings) as worker,
        Celery(broker=redis_url, set_as_current=False) as app,
    ):
        before, control = children(worker), app.control
        for each in before:
            each.send_signal(signal.SIGTERM)
        answers: Any = control.ping(timeout=2, limit=1)
        assert len(answers) == 1
        assert children(worker) == before
        control.broadcast("pool_shrink", arguments={"n": 1}, reply=True, limit=1)
        until(lambda: len(children(worker)) < len(before), what="a child ends")
        assert set(children(worker)) < set(before)
