"""How many messages wait in a queue: the one look at it that the server, the workers and ``doctor`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.broker.kombu_internals import redis_client

if TYPE_CHECKING:
    from celery import Celery

#: So many messages of the server's wait in a queue at the most.
FULL: Final = 100


def queue_depth(app: Celery, queue: str) -> int:
    """Return how many messages wait there; raise kombu's or redis-py's error where Redis doesn't answer."""
    with redis_client(app) as client:
        return int(client.llen(queue))
