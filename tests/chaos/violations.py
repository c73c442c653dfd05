"""What may be wrong with a run: each kind is one sentence of the promise that was not kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHOWN: Final = 5


class Broken(StrEnum):
    """The promises, by what is found where one is broken."""

    LOST = "accepted, and no POST of it was answered 200"
    FOREIGN = "a POST of what nobody accepted"
    UNEXPLAINED = "sent again, though it was in flight at no worker's death and each POST before was answered"
    TOO_MANY = "more was sent again than was in flight at workers' deaths, or reset, or hung"
    REMADE = "POSTs of one event to one endpoint differ in their webhook-id or their bytes"
    DISORDERED = "sent before an earlier event of its meeting was answered 200"
    MISNUMBERED = "the sequence of a meeting has a hole, or a POST names another place in it than the answer did"
    PASSED = "on record as other than filtered, though the filter holds it back"
    MIXED = "POSTs of one delivery differ in their webhook-id or endpoint"
    UNSIGNED = "a signature that does not fit"
    REFUSED = "a call was answered with an error that says nothing of a part that is away"
    ROWS = "not exactly one delivery row of what was accepted, or one of what was not"
    OPEN = "not in a terminal state at the end"
    PHANTOM = "on record as succeeded, and no POST of it was answered 200"
    UNRECORDED = "a POST that no attempt on record tells of"
    INVENTED = "an attempt with a status that no POST got"
    MISCOUNTED = "attempts on record that are not numbered from 1 to the delivery's count"
    FIGURES = "a figure is not the sum of its rows"
    OVERSTAYED = "a delivery stayed `sending` long past its lease"
    LEAKED = "a secret stands in a log"
    DIED = "a process ended by itself"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, how often, and where to look first."""

    broken: Broken
    count: int
    #: The first few.
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in a line."""
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count} x {self.broken}: {', '.join(self.examples)}{more}"


def found(broken: Broken, examples: Iterable[object]) -> Iterator[Violation]:
    """Yield the violation where there are examples of it."""
    texts = sorted(" ".join(each) if isinstance(each, tuple) else str(each) for each in examples)
    if texts:
        yield Violation(broken, len(texts), tuple(texts[:_SHOWN]))
