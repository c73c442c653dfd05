"""Looks all through a run for how long deliveries stay `sending` past their lease, which nobody may hold for long."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

import psycopg

if TYPE_CHECKING:
    from types import TracebackType

_EVERY_S: Final = 0.25
_OVERSTAY: Final = (
    "SELECT coalesce(extract(epoch FROM now() - min(lease_expires_at)), 0)::float8"
    " FROM noteflow.webhook_deliveries WHERE status = 'sending'"
)


class LeaseWatch:
    """The watch; use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease watch")
        #: The longest that any delivery was seen past its lease, in seconds.
        self.longest_s = 0.0
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
                [(seconds,)] = database.execute(_OVERSTAY).fetchall()
                self.longest_s = max(self.longest_s, seconds)
                self.looks += 1
