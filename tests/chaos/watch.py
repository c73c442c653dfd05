"""Looks all through a run for how long deliveries stay `sending` past their lease, which nobody may hold for long."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

import psycopg

from noteflow_hooks.domain.ports.maintenance import SWEEP
from noteflow_hooks.persistence.sql.delivery.restart_patience import MET, PATIENCE

if TYPE_CHECKING:
    from types import TracebackType
    from uuid import UUID

_EVERY_S: Final = 0.25
#: How long some delivery is past its lease, and which were already when the last sweep began that has ended. After
#: PostgreSQL was away sweeps leave those alone for a while that were claimed before; and each leaves those to another
#: sweep that it is just taking back, in a transaction that has locked their rows. One that waited for a lock leaves
#: them to their workers for a period.
_OVERSTAY: Final = """
    SELECT coalesce(extract(epoch FROM now() - min(lease_expires_at)), 0)::float8, array_agg(delivery.id) FILTER (
        WHERE run.began_at > greatest(lease_expires_at, met.ended_at + %s)
          AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid = delivery.xmax)
          AND NOT EXISTS (SELECT FROM noteflow.task_runs WHERE starts_with(name, 'sweep waited'))
    )
    FROM noteflow.webhook_deliveries AS delivery LEFT JOIN noteflow.task_runs AS run ON run.name = %s
    LEFT JOIN noteflow.task_runs AS met ON met.name = %s
    WHERE status = 'sending'
"""


class LeaseWatch:
    """The watch; use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease watch")
        #: The longest that any delivery was seen past its lease, in seconds.
        self.longest_s = 0.0
        #: The most deliveries at once that a sweep has left which began after the end of their leases.
        self.left = 0
        self._suspected: set[UUID] = set()
        #: How often it has looked.
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            # The database is away at times; it is looked at again when it is back.
            with contextlib.suppress(psycopg.OperationalError):
                self._look()
            self._ended.wait(_EVERY_S)

    def _look(self) -> None:
        with contextlib.closing(psycopg.connect(self._url, autocommit=True)) as database:
            while not self._ended.wait(_EVERY_S):
                [(seconds, left)] = database.execute(_OVERSTAY, [PATIENCE, SWEEP, MET]).fetchall()
                self.longest_s = max(self.longest_s, seconds)
                # The database looks at rows and at transactions one after the other: twice tells that it is so.
                found = set(left or ())
                self.left = max(self.left, len(found & self._suspected))
                self._suspected = found
                self.looks += 1
