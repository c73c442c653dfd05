"""One connection to Redis, for one thread at a time that puts messages into queues: no pool, a round trip a message."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError

from noteflow_hooks.broker.faults import kind_of
from noteflow_hooks.broker.named_connections import NamedConnection, NamedSSLConnection
from noteflow_hooks.telemetry.counting import count
from noteflow_hooks.telemetry.metrics import REDIS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.redis_url import RedisAddress

#: How long a server's thread waits for a connection, or for an answer, before Redis counts as away.
_TIMEOUT_S: Final = 0.5


class RedisLink:
    """Made without connecting; the first command does. Not for two threads at once."""

    def __init__(self, address: RedisAddress, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Without an answer for ``timeout_s``, Redis counts as away. Nothing is asked of it yet."""
        kind: Any = NamedConnection if address.tls is None else NamedSSLConnection
        self._connection: Any = kind(
            host=address.host,
            port=address.port,
            db=address.database,
            username=address.username,
            password=address.password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            # Nothing is told of the library: that would be two more round trips.
            driver_info=None,
            protocol=2,
            **address.ssl_options,
        )

    def push(self, queue: str, message: str) -> int:
        """Put a message into a queue and return how many wait there with it; raise redis-py's errors."""
        return self._ask("LPUSH", queue, message)

    def begin_push(self, queue: str, message: str) -> Callable[[], int] | None:
        """Send such a message and return what waits for the answer; it comes before the next command.

        None where there is no connection to send it over: :meth:`push` makes one. A message of a few kilobytes waits
        for nothing, since all that went before has been answered and the kernel has room for it.
        """
        return self._begin("LPUSH", queue, message)

    def length(self, queue: str) -> int:
        """Return how many messages wait in the queue; raise redis-py's errors."""
        return self._ask("LLEN", queue)

    def close(self) -> None:
        """Leave Redis; another command would connect anew."""
        self._connection.disconnect()

    def _ask(self, *command: str) -> int:
        answer = self._begin(*command)
        return answer() if answer is not None else self._asked(command)

    def _begin(self, *command: str) -> Callable[[], int] | None:
        if not self._connection.is_connected:
            return None
        try:
            self._send(command)
        except RedisConnectionError:
            return None
        return lambda: self._answer_or_again(command)

    def _answer_or_again(self, command: tuple[str, ...]) -> int:
        try:
            return self._answer()
        except RedisConnectionError:
            # A kept connection may have ended while nothing was sent, as when Redis was started anew.
            return self._asked(command)

    def _asked(self, command: tuple[str, ...]) -> int:
        self._send(command)
        return self._answer()

    def _send(self, command: tuple[str, ...]) -> None:
        with self._broken_off():
            connection = self._connection
            connection.send_packed_command(connection.pack_command(*command), check_health=False)

    def _answer(self) -> int:
        with self._broken_off():
            return int(self._connection.read_response())

    @contextmanager
    def _broken_off(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            count(REDIS_ERRORS, kind_of(error))
            # Given up in the middle, the next answer would be this command's; and where Redis is full, or may not be
            # written to any more, its name may lead elsewhere by the next time.
            self._connection.disconnect()
            raise
