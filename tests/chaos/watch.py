"""Looks all through a run for how long deliveries stay `sending` past their lease, which nobody may hold for long."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

import psycopg

from noteflow_hooks.domain.ports import SWEEP

if TYPE_CHECKING:
    from types import TracebackType

_EVERY_S: Final = 0.25
#: Since when the delivery is anybody's that has been past its lease for the longest: right after its server's start the
#: sweep leaves those alone that were claimed before.
_OVERSTAY: Final = """
    SELECT coalesce(extract(epoch FROM now() - min(lease_expires_at)), 0)::float8,
           CASE WHEN count(*) > 0
                THEN greatest(min(lease_expires_at), pg_postmaster_start_time() + interval '5 s') END,
           (SELECT ended_at FROM noteflow.task_runs WHERE name = %s)
    FROM noteflow.webhook_deliveries WHERE status = 'sending'
"""
#: Of sweeps that ended so far apart, the later one began after the end of the earlier.
_APART: Final = timedelta(seconds=1)


class LeaseWatch:
    """The watch; use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease watch")
        #: The longest that any delivery was seen past its lease, in seconds.
        self.longest_s = 0.0
        #: The most sweeps, one after the other, that ended while one delivery was past its lease.
        self.outlived = 0
        self._sweeps: list[datetime] = []
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
                [(seconds, free_since, swept_at)] = database.execute(_OVERSTAY, [SWEEP]).fetchall()
                self.longest_s = max(self.longest_s, seconds)
                self._note_sweep(swept_at)
                if free_since is not None:
                    self.outlived = max(self.outlived, sum(each > free_since for each in self._sweeps))
                self.looks += 1

    def _note_sweep(self, ended_at: datetime | None) -> None:
        if ended_at is not None and (not self._sweeps or ended_at - self._sweeps[-1] >= _APART):
            self._sweeps.append(ended_at)
