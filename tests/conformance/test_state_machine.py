"""The engine as a machine: whatever is done to it, in whatever order, nothing is lost, doubled, or sent past a limit.

Hypothesis makes up the steps. After each, the rows of the store are held to a ledger that was kept beside it; at the
end of each run the receivers mend, and all that can be delivered must be. The steps are the same each time;
``--hypothesis-seed=N`` explores others, ten times as many.
"""

from __future__ import annotations

import logging
import random
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions, Ordering
from noteflow_hooks.persistence.memory.delivery import dispatching
from noteflow_hooks.persistence.sql.delivery import store as delivery_store
from tests.conformance.model.machine import DeliveryMachine
from tests.conformance.model.rows import Opened, PostgresTables, in_memory
from tests.conformance.model.watched_store import BURST, PLENTY
from tests.conformance.model.world import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conformance.model.world import World
    from tests.support.emptying import Emptier


def run(opened: Callable[[], Opened], config: pytest.Config, *, examples: int, steps: int) -> None:
    """Run the machine over stores that ``opened`` makes."""
    explores = config.getoption("--hypothesis-seed") is not None
    chosen = settings(
        max_examples=10 * examples if explores else examples,
        stateful_step_count=steps,
        derandomize=not explores,
        database=None,
        report_multiple_bugs=False,
        # Without the phase that explains, which traces every line.
        phases=(Phase.generate, Phase.shrink),
        deadline=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with untraced():
        run_state_machine_as_test(
            partial(DeliveryMachine, opened),  # type: ignore[arg-type]  # any callable that makes one will do
            settings=chosen,
        )


@contextmanager
def untraced() -> Iterator[None]:
    """Measure no coverage: it would make so many runs take more than twice as long, and other tests cover the same."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@pytest.fixture(autouse=True)
def _bounds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    # What thousands of runs say would bury the one that fails.
    caplog.set_level(logging.CRITICAL, logger="noteflow_hooks")
    # A failing run is made shorter for no longer than that: what takes five minutes ends the whole suite.
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 120, raising=False)
    for module in (delivery_store, dispatching):
        monkeypatch.setattr(module, "BURST", BURST)


def test_the_store_in_memory_keeps_every_promise(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are drawn anew from the same seed for each run, so that a run that fails fails again."""

    def opened() -> Opened:
        ids = random.Random(0)
        monkeypatch.setattr(dispatching, "uuid4", lambda: UUID(int=ids.getrandbits(128), version=4))
        return in_memory()

    run(opened, pytestconfig, examples=50, steps=40)


def test_postgresql_keeps_every_promise(
    pytestconfig: pytest.Config, postgres_world: World, clean_database: str, emptier: Emptier
) -> None:
    """The same over PostgreSQL, in fewer runs: each step is some round trips."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        run(PostgresTables(connection, postgres_world, emptier).emptied, pytestconfig, examples=6, steps=40)


def test_who_waits_for_a_flood_s_turn_has_the_next(
    postgres_world: World, clean_database: str, emptier: Emptier
) -> None:
    """One call serves an endpoint that is merely flooded, alone; the next serves the one that keeps an order."""
    limits = {"max_concurrency": None, "rate_limit_per_s": None, "max_retries": 1, "timeout_ms": 10_000}
    ordered = EndpointOptions(ordering=Ordering.PER_MEETING)
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        machine = DeliveryMachine(PostgresTables(connection, postgres_world, emptier).emptied)
        endpoints = [limits | {"options": each} for each in (NO_OPTIONS, ordered)]
        machine.a_system_begins(HealthRules(), endpoints[:1], BURST + 1)
        machine.an_endpoint_is_registered(0, endpoints[1] | {"events": machine.endpoint(0).events})
        machine.events_are_published(0, "meeting.completed", "m-1", 1, announced=True)
        served = [machine.store.claim_throttled(limit=PLENTY, slow=False, lease_slack=SLACK) for _ in range(2)]
        assert [{each.webhook.id for each in claimed} for claimed in served] == [{each} for each in machine.living]
