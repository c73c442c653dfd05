"""Units of work in an event loop's own thread: whatever would block there is waited for beside the loop.

psycopg waits for its socket in one place, each connection's ``wait``. Connections are made in threads, since names are
looked up for them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from psycopg.waiting import Ready
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import PQGen
    from sqlalchemy.engine import Dialect, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

#: Where an engine has its waits.
_WAITS: Final = "noteflow_waits"


class SocketWaits(Protocol):
    """What waits for one socket."""

    def wait(self, wanted: int) -> int:
        """Wait until it is readable (1) or writable (2), as wanted, and return which of both it is."""
        ...


class Waits(Protocol):
    """How to wait without holding up the loop."""

    def is_aside(self) -> bool:
        """Tell whether what runs now runs in the loop's thread and can be put aside."""
        ...

    def of_socket(self, fileno: int) -> SocketWaits:
        """Return what waits for that socket."""
        ...

    def give_way(self) -> None:
        """Let the loop go on with others, in the midst of what takes long."""
        ...

    def in_thread(self, call: Callable[[], T]) -> T:
        """Return what the call returns, made in a thread."""
        ...


def wait_aside(engine: Engine, waits: Waits) -> None:
    """Have the engine's connections wait so, where they are used in the loop's thread."""
    engine.update_execution_options(**{_WAITS: waits})
    event.listen(engine, "do_connect", partial(_connect, waits))
    # Before the others, which ask the new connection something.
    event.listen(engine, "connect", partial(_take_over, waits), insert=True)


def made_aside(engine: Engine, lend: Callable[[], T]) -> T:
    """Return what ``lend`` lends; in a thread where the pool has nothing at hand, and it would have to wait."""
    waits: Waits | None = engine.get_execution_options().get(_WAITS)
    if waits is None or not waits.is_aside() or engine.pool.checkedin():  # type: ignore[attr-defined]  # our pools have it
        return lend()
    return waits.in_thread(lend)


def pause_of(engine: Engine) -> Callable[[], None]:
    """Return what lets others go on, in the midst of what takes long."""
    waits: Waits | None = engine.get_execution_options().get(_WAITS)
    return waits.give_way if waits is not None else _go_on


def _go_on() -> None:
    """Have threads take turns by themselves."""


def _connect(waits: Waits, dialect: Dialect, _: ConnectionPoolEntry, args: Any, params: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's signature
    return waits.in_thread(lambda: dialect.connect(*args, **params)) if waits.is_aside() else None


def _take_over(waits: Waits, connection: Any, _: ConnectionPoolEntry) -> None:  # noqa: ANN401 - psycopg's, without its rows' type
    connection.wait = partial(_wait, waits, waits.of_socket(connection.fileno()), connection.wait)


def _wait(
    waits: Waits,
    socket: SocketWaits,
    otherwise: Callable[..., T],
    steps: PQGen[T],
    *args: Any,  # noqa: ANN401 - psycopg's signature
    **options: Any,  # noqa: ANN401 - as above
) -> T:
    """Drive psycopg's steps to their end, as its own ``wait`` does."""
    if not waits.is_aside():
        return otherwise(steps, *args, **options)
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(Ready(socket.wait(wanted)))
    except StopIteration as end:
        result: T = end.value
        return result
