"""One connection to Redis, for one thread that puts messages into queues: no pool, no lock, a round trip a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from noteflow_hooks.broker.redis_url import RedisAddress

#: How long it takes at the most to connect, or to be answered, before Redis counts as away.
_TIMEOUT_S: Final = 0.5


class RedisLink:
    """Made without connecting; the first command does. Not for two threads at once."""

    def __init__(self, address: RedisAddress) -> None:
        """Nothing is asked of Redis yet."""
        kind: Any = Connection if address.tls is None else SSLConnection
        self._connection: Any = kind(
            host=address.host,
            port=address.port,
            db=address.database,
            username=address.username,
            password=address.password,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            socket_keepalive=True,
            # Nothing is told of the library: that would be two more round trips.
            driver_info=None,
            protocol=2,
            **address.ssl_options,
        )

    def push(self, queue: str, message: str) -> int:
        """Put a message into a queue and return how many wait there with it; raise redis-py's errors."""
        return self._ask("LPUSH", queue, message)

    def length(self, queue: str) -> int:
        """Return how many messages wait in the queue; raise redis-py's errors."""
        return self._ask("LLEN", queue)

    def close(self) -> None:
        """Leave Redis; another command would connect anew."""
        self._connection.disconnect()

    def _ask(self, *command: str) -> int:
        kept = self._connection.is_connected
        try:
            return self._asked(command)
        except RedisTimeoutError:
            raise
        except RedisConnectionError:
            # A kept connection may have ended while nothing was sent, as when Redis was started anew.
            if not kept:
                raise
        return self._asked(command)

    def _asked(self, command: tuple[str, ...]) -> int:
        connection = self._connection
        try:
            connection.send_packed_command(connection.pack_command(*command), check_health=False)
            return int(connection.read_response())
        except ResponseError:
            # Redis is full, or may not be written to: it has answered, and the connection is good.
            raise
        except BaseException:
            # Given up in the middle: the next answer would be this command's.
            connection.disconnect()
            raise
