"""How long the system took to recover from each fault: until all that was accepted before it had arrived.

A pair whose own script failed, reset or hung it is left out: its delay is the receiver's doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.bench.calls import percentile
from tests.chaos.script import Did

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.ledgers import Fault, Ledgers
    from tests.chaos.options import Kind


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took after faults of one kind, in seconds."""

    kind: Kind
    faults: int
    p50_s: float
    p95_s: float
    max_s: float


def recoveries(ledgers: Ledgers) -> list[Recovery]:
    """Return the times by kind of fault, in the order in which the kinds came first."""
    arrivals = list(_arrivals(ledgers))
    times: dict[Kind, list[float]] = {}
    for fault in ledgers.faults:
        times.setdefault(fault.kind, []).append(_after(fault, arrivals))
    return [
        Recovery(kind, len(found), percentile(found, 50), percentile(found, 95), max(found))
        for kind, found in times.items()
    ]


def _after(fault: Fault, arrivals: list[tuple[float, float]]) -> float:
    """Return the seconds to the last arrival of what was on its way at the fault; 0 where nothing was."""
    return max((came - fault.at for accepted, came in arrivals if accepted <= fault.at < came), default=0.0)


def _arrivals(ledgers: Ledgers) -> Iterator[tuple[float, float]]:
    """Yield when each pair was accepted and when it was first answered 200, where no answer before was another."""
    by_pair = ledgers.by_pair()
    for event in ledgers.accepted:
        for path in (each.path for each in ledgers.endpoints):
            first = next(iter(by_pair.get((event.event_id, path), [])), None)
            if first is not None and first.did is Did.ANSWERED:
                yield event.at, first.at
