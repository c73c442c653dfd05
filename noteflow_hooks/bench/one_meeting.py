"""Publishing to one meeting, whose events are numbered one after another, against publishing to many.

Four servers commit one event at a time: each waits for the disk while it holds the meeting's number, so the others wait
for it. Nobody gets the events, so that publishing alone is measured.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between
from noteflow_hooks.bench.committing import Task
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.processes import LineProcess
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

PUBLISHERS: Final = 4
_EVENTS: Final = 1_000
_MEETINGS: Final = 50


def to_one(stage: Stage) -> Values:
    """Measure how fast four publishers add to one meeting, between two measurements of as many meetings each."""
    events = stage.count(_EVENTS)
    many, one = between(
        stage,
        lambda: _rate_per_s(stage, events, [[f"m-{who}-{number}" for number in range(_MEETINGS)] for who in _WHO]),
        kind=("publishing to many meetings", events),
        measure=lambda: _rate_per_s(stage, events, [["m-one"] for _ in _WHO]),
    )
    settle(stage)
    return {"rate_per_s": one, "ratio": one / many, "many_per_s": many}


_WHO: Final = range(PUBLISHERS)


def _rate_per_s(stage: Stage, events: int, meeting_ids: Sequence[list[str]]) -> float:
    """Return how many events a second are stored by publishers with these meetings."""
    tenant = stage.kept("a workspace of publishers alone", stage.tenants.make)
    count = max(1, events // PUBLISHERS)
    publishers = [_publisher(stage, who) for who in _WHO]
    for publisher, own in zip(publishers, meeting_ids, strict=True):
        task = Task(stage.system.database_url, str(tenant.workspace_id), own, count)
        publisher.tell(json.dumps(asdict(task)))
    spans: list[tuple[float, float]] = [each.heard() for each in publishers]
    return count * PUBLISHERS / (max(end for _, end in spans) - min(start for start, _ in spans))


def _publisher(stage: Stage, who: int) -> LineProcess:
    return stage.kept(f"publisher {who}", partial(stage.process, "committing"))


ONE_MEETING: Final = (
    Scenario(
        "one-meeting",
        "four publishers to one meeting, one event a transaction, against many meetings",
        to_one,
        (Bound("rate_per_s", "publishing to one meeting, four publishers, events a second", "at least", 200.0),),
        group="order",
    ),
)
