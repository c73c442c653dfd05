"""The stage of a kill at an exact point: one event, its endpoints, and what rows and requests show of them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc

from tests.support.steady_publisher import posts
from tests.support.system_rig import a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from tests.support.receiver import Receiver
    from tests.support.receiver_connection import Script
    from tests.support.system_rig import SystemRig

#: What an attempt may take. Its lease, with the system's slack beside, is the longest that recovery waits for.
TIMEOUT_MS: Final = 1500
#: What has not come by then counts as lost.
LOST_AFTER_S: Final = 30.0
_ROWS: Final = """
SELECT delivery.id::text, delivery.webhook_id::text, delivery.status, delivery.attempt_count,
       coalesce(array_agg(coalesce(attempt.error_kind, '') ORDER BY attempt.attempt_number)
                FILTER (WHERE attempt.id IS NOT NULL), '{}')
FROM noteflow.webhook_deliveries AS delivery
LEFT JOIN noteflow.webhook_attempts AS attempt ON attempt.delivery_id = delivery.id
WHERE delivery.event_id = %s GROUP BY delivery.id
"""


class Row(NamedTuple):
    """A delivery with its attempts' kinds of error, in their order; a success has an empty one."""

    id: str
    webhook_id: str
    status: str
    #: How many attempts it says that there were.
    attempts: int
    kinds: list[str]


class Stage:
    """One play: an event for some endpoints of a workspace of their own."""

    def __init__(self, rig: SystemRig, ends_with: ExitStack) -> None:
        """``ends_with`` is closed when the play is over."""
        self.rig = rig
        self.ends_with = ends_with
        self.receiver: Receiver = rig.receiver
        #: The endpoints' paths by their ids.
        self.paths: dict[str, str] = {}
        self.event_id = ""
        #: The event that is published once the first one has come: the system must have gone on.
        self.next_id = ""
        #: How many POSTs the receiver answers with a failure: each needs another one.
        self.failures = 0
        #: How many deliveries were claimed, and how many of their POSTs had arrived, without a result on record.
        self.claimed = self.in_flight = 0
        #: Whether the fault came at another point than was meant.
        self.is_elsewhere = False
        #: Whether a worker lives on that may record the result all the same.
        self.has_survivors = False
        #: From the fault until both events were delivered; None where one never was.
        self.recovery_s: float | None = None
        #: What else was not as promised, a sentence each.
        self.complaints: list[str] = []
        self._struck_at = 0.0
        self._dead: list[str] = []

    def subscribe(self, *answers: Script, count: int = 1, port: int | None = None) -> str:
        """Register endpoints, each at a path of its own that is answered so, and return the last one's id."""
        webhook_id = ""
        for _ in range(count):
            path = a_path()
            if answers:
                self.receiver.script(path, *answers)
            url = f"https://127.0.0.1:{port if port is not None else self.receiver.port}{path}"
            webhook_id = self.rig.webhook(url=url, timeout_ms=TIMEOUT_MS).id
            self.paths[webhook_id] = path
        return webhook_id

    def publish(self) -> None:
        """Have the event accepted."""
        self.event_id = self.rig.publish()

    def rows(self) -> list[Row]:
        """Return the event's deliveries."""
        return [Row(*each) for each in self.rig.database.execute(_ROWS, [self.event_id]).fetchall()]

    def reach(self, status: str, *, attempts: int = 0) -> None:
        """Return once each endpoint's delivery has that status, and so many attempts on record."""

        def is_there() -> bool:
            there = [each for each in self.rows() if each.status == status and len(each.kinds) == attempts]
            return len(there) == len(self.paths)

        until(is_there, what=f"all are {status} after {attempts} attempts")

    def posts(self, webhook_id: str, event_id: str) -> int:
        """Return how often the event was sent to the endpoint."""
        return posts(self.receiver, self.paths[webhook_id])[event_id]

    def strange_posts(self) -> set[str]:
        """Return under which ids POSTs came that are neither event's."""
        came = {event_id for path in self.paths.values() for event_id in posts(self.receiver, path)}
        return came - {self.event_id, self.next_id}

    @property
    def workers(self) -> list[str]:
        """The names of the workers that run."""
        return [name for name in self.rig.system.processes if name.startswith("worker-")]

    def strike(self) -> None:
        """Begin to count the time of recovery."""
        self._struck_at = time.monotonic()

    def kill(self, *names: str) -> None:
        """End these parts without a word of warning."""
        self.strike()
        for name in names:
            self.rig.kill(name)
        self._dead += names

    def note(self) -> None:
        """Take down what is claimed and in flight. To be called once all has ended that the dead sent to PostgreSQL."""
        claimed = [each for each in self.rows() if each.status == "sending"]
        self.claimed = len(claimed)
        self.in_flight = sum(self.posts(each.webhook_id, self.event_id) > len(each.kinds) for each in claimed)

    def revive(self) -> None:
        """Start again what was killed, as a supervisor would."""
        while self._dead:
            self.rig.restart(self._dead.pop(0))

    def recover(self) -> None:
        """Wait until the event is delivered, and then another one, and take down how long that took."""
        with self.complaining():
            self._wait_for(self.event_id)
            until(self._publishes_next, what="the server accepts another event", timeout_s=LOST_AFTER_S)
            self._wait_for(self.next_id)
            self.recovery_s = time.monotonic() - self._struck_at

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Have what is waited for in vain reported: the other plays go on."""
        try:
            yield
        except AssertionError as error:
            self.complaints.append(str(error).partition("\n")[0])

    def _wait_for(self, event_id: str) -> None:
        statement = "SELECT FROM noteflow.webhook_deliveries WHERE event_id = %s AND status = 'succeeded'"

        def is_delivered() -> bool:
            return len(self.rig.database.execute(statement, [event_id]).fetchall()) == len(self.paths)

        until(is_delivered, what=f"{event_id} is delivered", timeout_s=LOST_AFTER_S)

    def _publishes_next(self) -> bool:
        try:
            self.next_id = self.rig.publish()
        except grpc.RpcError:
            return False
        return True
