"""What holds a running system at a point of an event's path, from outside: an answer, a lock, a pause, a freeze.

Each is there for as long as its block runs, and lets go whatever happens in it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Final

import psycopg

from tests.support.receiver_connection import Answer
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import redis

    from tests.support.receiver_connection import ReceiverConnection
    from tests.support.system_rig import SystemRig

#: How long an answer or a write is kept back at the most.
_KEPT_S: Final = 60.0
#: The number of the lock that a held commit waits for: any that nobody else uses.
_HELD: Final = 7_110_338
#: How the sweep's statement begins that queues up for the tables.
_SWEEP: Final = "\nDO $$"


class Kept:
    """A receiver's behaviour that keeps its answer back until it is released."""

    def __init__(self, answer: Answer | None = None) -> None:
        given = answer if answer is not None else Answer()
        # The receiver hangs up after it; one that doesn't say so would have the next request meet a dead connection.
        self._answer = Answer(given.status, (*given.headers, ("Connection", "close")), given.body)
        self._came, self._let_go = threading.Event(), threading.Event()

    def __call__(self, connection: ReceiverConnection) -> None:
        """Serve the one request."""
        self._came.set()
        self._let_go.wait(_KEPT_S)
        connection.send(self._answer.encode())

    def wait(self) -> None:
        """Return once the request has come as a whole."""
        until(self._came.is_set, what="the request comes")

    def release(self) -> None:
        """Let the answer go."""
        self._let_go.set()


class Lock:
    """A lock that a connection of ours holds in PostgreSQL."""

    def __init__(self, rig: SystemRig, holder: psycopg.Connection) -> None:
        """The rig's own connection looks at who waits."""
        self._rig = rig
        self._holder = holder
        self._waiting: list[int] = []

    def wait(self) -> None:
        """Return once a statement waits for the lock."""
        until(self._look, what="a statement waits for the lock")

    def cut(self) -> None:
        """End the statements that wait, as PostgreSQL does where it notices that their worker is gone."""
        self._rig.database.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [self._waiting])

    def release(self) -> None:
        """Give the lock up, and return once the statements that waited have ended."""
        self._holder.close()
        until(self._have_ended, what="the statements that waited end")

    def _look(self) -> bool:
        # The sweep waits for the same tables, and is not what the point is about.
        statement = (
            "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid)) AND NOT starts_with(query, %s)"
        )
        found = self._rig.database.execute(statement, [self._holder.info.backend_pid, _SWEEP]).fetchall()
        self._waiting = [pid for (pid,) in found]
        return bool(found)

    def _have_ended(self) -> bool:
        statement = "SELECT FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'active'"
        return not self._rig.database.execute(statement, [self._waiting]).fetchall()


@contextmanager
def locked(rig: SystemRig, statement: str, *values: str) -> Iterator[Lock]:
    """Hold what the statement locks."""
    with closing(psycopg.connect(rig.system.database_url)) as holder:
        holder.execute(statement.encode(), values)
        yield Lock(rig, holder)


@contextmanager
def dispatch_held(rig: SystemRig, webhook_id: str) -> Iterator[Lock]:
    """Hold whoever makes a delivery for the endpoint at the commit, with all that its statement did."""
    rig.database.execute(
        "CREATE FUNCTION noteflow.hold() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_advisory_xact_lock({_HELD}); RETURN NULL; END'".encode()
    )
    try:
        rig.database.execute(
            "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON noteflow.delivery_queue DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW WHEN (NEW.webhook_id = '{webhook_id}') EXECUTE FUNCTION noteflow.hold()".encode()
        )
        with locked(rig, "SELECT pg_advisory_xact_lock(%s::bigint)", str(_HELD)) as lock:
            yield lock
    finally:
        rig.database.execute("DROP FUNCTION noteflow.hold() CASCADE")


@contextmanager
def writes_held(client: redis.Redis) -> Iterator[None]:
    """Have Redis keep back all that would write. Messages that it has in hand at the end are never put into a queue."""
    client.client_pause(int(_KEPT_S * 1000), all=False)
    try:
        yield
    finally:
        # Whoever sent them may be dead, but Redis need not have noticed yet.
        for each in client.client_list():
            if each["cmd"] == "lpush" and "b" in each["flags"]:
                client.client_kill_filter(_id=each["id"])
        client.client_unpause()


@contextmanager
def frozen(rig: SystemRig, names: Iterable[str]) -> Iterator[None]:
    """Stop these parts of the system."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(rig.frozen(name))
        yield
