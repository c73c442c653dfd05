"""Celery's remote control of the workers at a broker, as far as the benchmark needs it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks.bench.stage import WORKERS

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage

_ANSWER_S: Final = 1.0


def command_workers(broker_url: str, command: str) -> int:
    """Send the workers one of Celery's remote commands; return how many have answered within a second."""
    # kombu keeps connections after an app has ended; the kept ones are dead after a restart of Redis.
    with Celery("bench", broker=broker_url, set_as_current=False) as app, suppress(RedisError, OperationalError):
        return len(app.control.broadcast(command, reply=True, limit=WORKERS, timeout=_ANSWER_S) or ())
    return 0


def await_workers(stage: Stage, broker_url: str) -> None:
    """Wait until all workers at the broker are ready."""
    stage.wait(lambda: command_workers(broker_url, "ping") == WORKERS, what="all workers answer")
