"""Whether Redis answers, for those who ask the server how the system does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from noteflow_hooks.broker.names import DISPATCH_QUEUE
from noteflow_hooks.broker.redis_link import RedisLink

if TYPE_CHECKING:
    from noteflow_hooks.redis_url import RedisAddress


class RedisLook:
    """Asks Redis, over a connection of its own that is made with the first question."""

    def __init__(self, address: RedisAddress) -> None:
        self._link = RedisLink(address)
        self._lock = threading.Lock()

    def answers(self) -> bool:
        """Tell whether it says how long a queue of ours is."""
        with self._lock:
            try:
                self._link.length(DISPATCH_QUEUE)
            except (RedisError, OSError):
                return False
            return True

    def close(self) -> None:
        """Leave Redis."""
        with self._lock:
            self._link.close()
