"""Events that one Python program publishes by the client, one call an event, beside the bare stubs below it.

Both take turns in short passes. The client's events have keys, by which they may be published again; the stubs' have
none.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.announcing import Task
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.traffic import settle
from noteflow_hooks.bench.usage import cpu_seconds

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

#: Events of each pass; each way has so many passes.
_EVENTS: Final = 500
_PASSES: Final = 3
_CALLERS: Final = 32


def by_the_client(stage: Stage, *, is_async: bool) -> Values:
    """Publish both ways, to an endpoint that is delivered to meanwhile; return rates, and what an event costs."""
    token, events = stage.workspaces()[0].token, stage.count(_EVENTS)
    client, stub = Counter[str](), Counter[str]()
    for _ in range(_PASSES):
        for by_client, found in ((False, stub), (True, client)):
            found.update(_spent(stage, Task(token, events, _CALLERS, by_client, is_async)))
    each = 1e6 / (events * _PASSES)
    rates = {name: events * _PASSES / found["took_s"] for name, found in (("client", client), ("stub", stub))}
    return {
        "ratio": rates["client"] / rates["stub"],
        "rate_per_s": rates["client"],
        "stub_per_s": rates["stub"],
        **{f"{name}_us": client[name] * each for name in ("program", "server", "postgres")},
        **{f"stub_{name}_us": stub[name] * each for name in ("program", "server", "postgres")},
    }


def _spent(stage: Stage, task: Task) -> dict[str, float]:
    """Publish, and return how many seconds it took, of time and of each process."""
    program = stage.kept("the announcing program", lambda: stage.process("announcing", stage.system.grpc))
    pids = {name: [stage.system.processes[name]] for name in ("server", "postgres")}
    before = cpu_seconds(pids)
    took = program.ask(json.dumps(asdict(task)))
    after = cpu_seconds(pids)
    settle(stage)
    used = {name: after[name] - before[name] for name in pids}
    return {"took_s": took["took_s"], "program": took["cpu_s"], **used}


def _bounds(how: str) -> tuple[Bound, ...]:
    return (
        Bound("ratio", f"one program by the client ÷ by bare stubs, {how}", "at least", 0.9),
        Bound("rate_per_s", f"one program by the client, events a second, {how}", "at least", 1_000.0),
    )


PROGRAMS: Final = (
    Scenario(
        "client-threads",
        "one program by the client, 32 threads, against bare stubs",
        partial(by_the_client, is_async=False),
        _bounds("32 threads"),
        group="client",
    ),
    Scenario(
        "client-asyncio",
        "the same in an event loop, 32 tasks",
        partial(by_the_client, is_async=True),
        _bounds("32 tasks"),
        group="client",
    ),
)
