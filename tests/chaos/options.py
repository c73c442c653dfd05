"""What a run is asked for: how much load, which faults, and what is exchanged so that the verdict must turn red."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """The faults, by what is pulled out from under the system."""

    WORKER = "a worker group killed"
    WORKERS = "both worker groups killed"
    CHILD = "a pool child killed"
    BROKER = "Valkey killed, back empty"
    FROZEN = "Valkey frozen"
    DATABASE = "PostgreSQL killed"
    SERVER = "gRPC server killed"
    BEAT = "beat killed"


#: How often each fault is made in a full run: 24 groups of workers die, four times both at once.
FULL: Final[Mapping[Kind, int]] = {
    Kind.WORKER: 16,
    Kind.WORKERS: 4,
    Kind.CHILD: 6,
    Kind.BROKER: 4,
    Kind.FROZEN: 3,
    Kind.DATABASE: 3,
    Kind.SERVER: 4,
    Kind.BEAT: 4,
}
#: The deaths that leave POSTs behind of which nobody knows what came.
WORKER_KILLS: Final = frozenset({Kind.WORKER, Kind.WORKERS, Kind.CHILD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run."""

    #: Decides the order and the moments of faults, and what the receiver answers.
    seed: int = 1
    events: int = 1_200
    #: How many events a second are published while they are; each goes to all endpoints.
    rate_per_s: float = 20
    #: How often each fault is made.
    faults: Mapping[Kind, int]
    #: A time for each fault, so that what it broke begins to heal before the next one.
    slot_s: float = 3.0
    #: How long the last deliveries may take once everything is published and no more faults come.
    drain_s: float = 90.0
    #: How many times as long as usual the leases and the endpoints' timeouts are, for a machine that others use.
    stretch: float = 1.0
    #: Whether anybody keeps time for relay and sweep once everything has started.
    beat: bool = True
    #: The Celery app of the workers; another one stands for a product with a fault of its own.
    app: str = "workers.app"

    @classmethod
    def full(cls, *, seed: int, events: int, rate_per_s: float, stretch: float) -> Options:
        """Return a full run, in which all that takes time has ``stretch`` times as much of it."""
        return cls(
            seed=seed,
            events=events,
            rate_per_s=rate_per_s / stretch,
            faults=FULL,
            slot_s=3.0 * stretch,
            drain_s=90.0 * stretch,
            stretch=stretch,
        )
