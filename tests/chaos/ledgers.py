"""The two ledgers of a run, and what else is known from outside: nothing in here is the product's own word.

A ledger is a file of JSON lines; each line is with the system before anybody acts on what it says. Moments are the
monotonic clock's, which all processes of a machine share, in seconds.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tests.chaos.script import Did

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.endpoints import Endpoint
    from tests.chaos.options import Kind

#: An event's id and an endpoint's path: what is to be delivered once.
Pair: TypeAlias = "tuple[str, str]"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that the server said it has: the publisher's ledger."""

    key: str
    event_id: str
    at: float
    #: How many calls it took.
    tries: int
    #: The how manieth event of the run it is, from 0.
    number: int
    meeting_id: str
    #: Its place among the events of its meeting, as the answer said.
    sequence: int


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that has arrived whole, or one event of a batch that has: the receiver's ledger."""

    #: What ``webhook-id`` said, or in a batch the event's own element.
    event_id: str
    path: str
    #: The how manieth of its pair, from 1.
    nth: int
    at: float
    #: The same moment by the clock that attempts are timed with, in unix seconds.
    clock_at: float
    did: Did
    #: What ``X-NoteFlow-Delivery`` said, or in a batch the event's own element.
    delivery_id: str
    #: Whether both signatures fit the endpoint's secret.
    is_signed: bool
    #: What ``webhook-id`` said: the event's id, or its batch's.
    webhook_id: str
    #: A digest of the whole body.
    digest: str
    #: The event's place among those of its meeting.
    sequence: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "did", Did(self.did))

    @property
    def pair(self) -> Pair:
        """What it delivers."""
        return self.event_id, self.path


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was made."""

    kind: Kind
    at: float
    #: What the database called `sending` while the victim stood still, right before it was killed.
    in_flight: frozenset[Pair] = frozenset()


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Everything that the verdict is made from."""

    accepted: list[Accepted]
    posts: list[Post]
    faults: list[Fault]
    #: Each event is for all of them, but for what a filter holds back.
    endpoints: tuple[Endpoint, ...]

    @property
    def expected(self) -> set[Pair]:
        """What was promised: each accepted event to each endpoint that wants it."""
        return {(each.event_id, to.path) for each in self.accepted for to in self.endpoints if to.wants(each.number)}

    @property
    def held_back(self) -> set[Pair]:
        """What a filter is to hold back."""
        return {
            (each.event_id, to.path) for each in self.accepted for to in self.endpoints if not to.wants(each.number)
        }

    def by_pair(self) -> dict[Pair, list[Post]]:
        """Return the POSTs of each pair, in their order."""
        found: dict[Pair, list[Post]] = {}
        for post in sorted(self.posts, key=lambda post: post.nth):
            found.setdefault(post.pair, []).append(post)
        return found


Entry = TypeVar("Entry", Accepted, Post)


class Book:
    """A ledger being written, by any number of threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, entry: Accepted | Post) -> None:
        """Write a line, and return once it would outlive this process."""
        line = json.dumps(asdict(entry)) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def read(path: Path, entry: type[Entry]) -> list[Entry]:
    """Return a ledger's entries."""
    return [entry(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
