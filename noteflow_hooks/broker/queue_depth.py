"""How many messages wait in a queue: the one look at it that the server, the workers and ``doctor`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.broker.kombu_internals import redis_client

if TYPE_CHECKING:
    from celery import Celery

#: So many messages wait in a queue at the most, and so many are sent between two looks at its length.
FULL: Final = 100
LOOK_EVERY: Final = 20


def queue_depth(app: Celery, queue: str) -> int:
    """Return how many messages wait there; raise kombu's or redis-py's error where Redis doesn't answer."""
    with redis_client(app) as client:
        return int(client.llen(queue))


class QueueBackpressure:
    """Holds messages back while so many wait that one more says nothing new: each takes along what is in the tables.

    Workers that come back after Redis did would find a message for each moment that they were away.
    """

    def __init__(self, app: Celery, queue: str, *, full: int = FULL, look_every: int = LOOK_EVERY) -> None:
        """From ``full`` messages on the queue is full; Redis is asked at each ``look_every``-th message."""
        self._app = app
        self._queue = queue
        self._full = full
        self._look_every = look_every
        self._messages = 0
        self._is_full = False

    def is_full(self) -> bool:
        """Tell whether the next message is to be held back; a queue that was found full is asked for each time."""
        self._messages += 1
        if self._is_full or self._messages % self._look_every == 0:
            self._is_full = queue_depth(self._app, self._queue) >= self._full
        return self._is_full
