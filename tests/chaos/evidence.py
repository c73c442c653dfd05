"""All that a run leaves behind, gathered before anything is judged: a test may take a line away and judge again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.chaos.figures import differences
from tests.chaos.reconciliation import reconcile
from tests.chaos.violations import Broken, Violation, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.figures import Sums
    from tests.chaos.ledgers import Ledgers
    from tests.chaos.tables import Tables

#: A sweep needs a worker, beat and Valkey, and a fault takes one every few seconds; each time that PostgreSQL was
#: away, ten seconds go by after the first one. So long past its lease is no delivery left even then.
OVERSTAY_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen from outside, and what is on record inside."""

    ledgers: Ledgers
    tables: Tables
    #: How often it was looked for deliveries past their lease.
    looks: int = 0
    #: The longest that a delivery was seen `sending` past its lease, in seconds.
    overstay_s: float = 0.0
    #: The most deliveries at once that a sweep has left which began after the end of their leases.
    left_by_sweeps: int = 0
    #: The sums of the run by who tells them, the rows among them; none where they were not asked for.
    figures: Mapping[str, Sums] = field(default_factory=dict)
    #: Which secrets stand in logs.
    leaks: frozenset[str] = frozenset()
    #: Calls that were answered with an error that tells of no outage.
    refusals: list[str] = field(default_factory=list)
    #: Processes that ended without being killed.
    deaths: list[str] = field(default_factory=list)
    #: How many times as long as usual everything may take.
    stretch: float = 1.0
    load_s: float = 0.0
    drain_s: float = 0.0

    def violations(self) -> Iterator[Violation]:
        """Yield what is wrong beside what the ledgers alone tell."""
        yield from reconcile(self.ledgers, self.tables)
        yield from found(Broken.OVERSTAYED, self._overstays())
        yield from found(Broken.FIGURES, differences(self.figures))
        yield from found(Broken.LEAKED, self.leaks)
        yield from found(Broken.REFUSED, self.refusals)
        yield from found(Broken.DIED, self.deaths)

    def _overstays(self) -> Iterator[str]:
        if self.overstay_s > OVERSTAY_S * self.stretch:
            yield f"{self.overstay_s:.1f} s"
        if self.left_by_sweeps:
            yield f"{self.left_by_sweeps} left by a sweep"
