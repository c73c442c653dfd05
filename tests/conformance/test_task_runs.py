"""When relay and sweep last ran to their end, so that somebody sees when they no longer do."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.persistence.memory import InMemoryTaskRuns, MemoryStore
from noteflow_hooks.persistence.sql.delivery.restart_patience import MET
from noteflow_hooks.persistence.sql.maintenance.task_runs import SqlAlchemyTaskRuns

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.ports.maintenance import TaskRuns

SOON: Final = timedelta(seconds=10)
TOOK: Final = timedelta(milliseconds=200)


@dataclass(frozen=True)
class Runs:
    """An empty store, and what makes all that is in it so much older."""

    store: TaskRuns
    age: Callable[[timedelta], None]


@pytest.fixture(params=["memory", "postgres"])
def runs(request: pytest.FixtureRequest) -> Runs:
    """Offer a store, which a fixture named after the parameter makes."""
    made: Runs = request.getfixturevalue(f"{request.param}_runs")
    return made


@pytest.fixture
def memory_runs() -> Runs:
    later = timedelta(0)

    def age(by: timedelta) -> None:
        nonlocal later
        later += by

    return Runs(InMemoryTaskRuns(MemoryStore(now=lambda: datetime.now(UTC) + later)), age)


@pytest.fixture
def postgres_runs(engine: Engine, clean_database: str) -> Runs:  # noqa: ARG001 - emptied is all it has to be
    def age(by: timedelta) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE noteflow.task_runs SET ended_at = ended_at - :by"), {"by": by})

    return Runs(SqlAlchemyTaskRuns(engine), age)


def test_a_task_that_never_ran_is_not_there(runs: Runs) -> None:
    """Whoever looks can tell it from one that ran long ago."""
    runs.store.note("sweep", took=TOOK)
    assert runs.store.ages().keys() == {"sweep"}


def test_the_age_of_a_run_is_the_last_ones(runs: Runs) -> None:
    """It grows by the store's clock, and each task has its own."""
    runs.store.note("relay", took=TOOK)
    runs.store.note("sweep", took=TOOK)
    runs.age(timedelta(minutes=5))
    runs.store.note("sweep", took=TOOK)
    ages = runs.store.ages()
    assert timedelta(0) <= ages["sweep"] < SOON
    assert timedelta(minutes=5) <= ages["relay"] < timedelta(minutes=5) + SOON


def test_any_number_of_workers_may_note_a_run_at_once(runs: Runs) -> None:
    """None is refused, the first row included; one age is left."""
    failed: list[Exception] = []

    def note() -> None:
        try:
            for _ in range(20):
                runs.store.note("sweep", took=TOOK)
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread has to tell the test
            failed.append(error)

    threads = [threading.Thread(target=note) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert runs.store.ages()["sweep"] < SOON


def test_when_the_last_of_them_began_is_on_record(postgres_runs: Runs, engine: Engine) -> None:
    """One that began before another, and ends behind it, changes nothing of that."""
    for took in (TOOK, timedelta(hours=1)):
        postgres_runs.store.note("sweep", took=took)
        with engine.connect() as connection:
            began = connection.scalar(text("SELECT clock_timestamp() - began_at FROM noteflow.task_runs"))
        assert TOOK <= began < TOOK + SOON


def test_what_the_sweep_notes_for_itself_is_no_task(postgres_runs: Runs, engine: Engine) -> None:
    """Exporter and doctor, who ask for all tasks there are, are told of none of it."""
    postgres_runs.store.note("purge", took=TOOK)
    with engine.begin() as connection:
        for name in (MET, "sweep waited 1", "sweep waited in vain"):
            note = "INSERT INTO noteflow.task_runs (name, began_at, ended_at) VALUES (:name, now(), to_timestamp(0))"
            connection.execute(text(note), {"name": name})
    assert postgres_runs.store.ages().keys() == {"purge"}
