"""When events are published and when faults are made: the same for the same seed.

The load comes in waves, one for each fault, so that whatever the pace of the faults is, each falls into live traffic.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.options import Kind, Options


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault, and when it is due, in seconds from the load's begin."""

    at_s: float
    kind: Kind


def faults(options: Options) -> list[Planned]:
    """Return the faults in the order of their moments, each at a random one of its wave."""
    chance = random.Random(options.seed)
    kinds = [kind for kind, count in options.faults.items() for _ in range(count)]
    chance.shuffle(kinds)
    wave_s = options.events / waves(options) / options.rate_per_s
    return [Planned(number * slot_s(options) + chance.random() * wave_s, kind) for number, kind in enumerate(kinds)]


def moments(options: Options) -> Iterator[float]:
    """Yield when each event is due, in seconds from the load's begin."""
    count, slot = waves(options), slot_s(options)
    for wave in range(count):
        first, last = wave * options.events // count, (wave + 1) * options.events // count
        yield from (wave * slot + number / options.rate_per_s for number in range(last - first))


def waves(options: Options) -> int:
    """Return how many waves the load comes in."""
    return max(1, sum(options.faults.values()))


def slot_s(options: Options) -> float:
    """Return how long it is from one wave's begin to the next one's."""
    return max(options.slot_s, options.events / waves(options) / options.rate_per_s)
