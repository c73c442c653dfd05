"""The list of scenarios, in the order in which each round plays them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.batches import BATCHES
from noteflow_hooks.bench.call_costs import CALL_COSTS
from noteflow_hooks.bench.dashboard import DASHBOARD
from noteflow_hooks.bench.distance import DISTANCE
from noteflow_hooks.bench.history import HISTORY
from noteflow_hooks.bench.isolation import ISOLATION
from noteflow_hooks.bench.latency import LATENCY
from noteflow_hooks.bench.meetings import MEETINGS
from noteflow_hooks.bench.memory import MEMORY
from noteflow_hooks.bench.observability import OBSERVABILITY
from noteflow_hooks.bench.one_meeting import ONE_MEETING
from noteflow_hooks.bench.one_request import ONE_REQUEST
from noteflow_hooks.bench.over_grpc import OVER_GRPC
from noteflow_hooks.bench.pools import POOLS
from noteflow_hooks.bench.programs import PROGRAMS
from noteflow_hooks.bench.scaling import SCALING
from noteflow_hooks.bench.throughput import THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from noteflow_hooks.bench.scenario import Scenario

#: The scenarios of every run; memory comes after them.
STANDARD: Final = (
    *THROUGHPUT,
    *ONE_REQUEST,
    *ONE_MEETING,
    *SCALING,
    *OVER_GRPC,
    *PROGRAMS,
    *BATCHES,
    *CALL_COSTS,
    *LATENCY,
    *ISOLATION,
    *MEETINGS,
    *OBSERVABILITY,
)
#: Those that ``--full`` adds. Each takes minutes and several measurements, so that once is enough: ``is_once``.
FULL: Final[tuple[Scenario, ...]] = (*POOLS, *DISTANCE, *HISTORY, *DASHBOARD)
ALL: Final = (*STANDARD, *FULL, *MEMORY)


def names() -> Sequence[str]:
    """Return what ``--only`` takes: the names of scenarios and groups."""
    return list(dict.fromkeys(name for each in ALL for name in (each.group, each.name) if name))


def chosen(names: Collection[str], *, full: bool) -> Sequence[Scenario]:
    """Return the scenarios of these names or groups; without names, those of a standard or a full run."""
    if names:
        return [each for each in ALL if each.name in names or each.group in names]
    return ALL if full else (*STANDARD, *MEMORY)
