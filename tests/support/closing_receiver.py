"""A receiver that closes the connections it keeps, as web servers do that have waited or are told to reload."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceiverConnection


class ClosingReceiver(Receiver):
    """Answers 200, and closes what is idle when it is told: the next request may be on its way already."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the receiver's own
        super().__init__(greeting=self._take, **options)
        self._idle: set[ReceiverConnection] = set()
        self._guard = threading.Lock()
        #: How many requests have come.
        self.taken = 0

    def close_idle(self) -> None:
        """Close every connection that has been answered and has no request, as far as is known."""
        with self._guard:
            closed, self._idle = self._idle, set()
        for connection in closed:
            connection.hang_up()

    def _take(self, connection: ReceiverConnection) -> None:
        while connection.read_request() is not None:
            with self._guard:
                self.taken += 1
            connection.send(Answer().encode())
            with self._guard:
                self._idle.add(connection)
            connection.peek()
            with self._guard:
                if connection not in self._idle:
                    return
                self._idle.discard(connection)
