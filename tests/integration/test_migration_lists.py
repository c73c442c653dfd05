"""The migrations of lists on a running system: who does not know a replay's filters takes no step of it."""

from __future__ import annotations

from runpy import run_path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psycopg
import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.integration.test_migration_event_types import Database
from tests.support.builders import a_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

BOX: Final = SecretBox([bytes(32)])
#: What the releases before take steps of, however long they wait.
FORMER_STEPS: Final = """
SELECT id FROM noteflow.webhook_replays WHERE state = 'running' AND {0} <= now() + interval '100 years'
"""
FIRST_STEPS: Final = FORMER_STEPS.format("paced_at")
LATER_STEPS: Final = FORMER_STEPS.format("coalesce(narrowed_paced_at, paced_at)")
SCRIPT, BY_REASON = (
    run_path(str(next(bootstrap.migrations_folder().glob(f"versions/*_{name}.py"))))
    for name in ("lists", "replays_by_reason")
)
NARROWED: Final[tuple[dict[str, Any], ...]] = (
    {"statuses": frozenset({DeliveryStatus.DEAD})},
    {"event_id": uuid4()},
    {"meeting_id": "m-1"},
    {"error_kind": ErrorKind.DNS},
    {"status_code": 500},
)


@pytest.fixture
def database(postgres: Any) -> Iterator[Database]:  # noqa: ANN401 - the embedded server
    name, server = f"lists_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield Database(url, inside)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def begun(url: str) -> tuple[UUID, set[UUID], UUID]:
    """Begin a replay by what all releases know, one by each filter that the first doesn't know, and one by a reason."""
    engine = create_engine(url)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        plain = unit.replays.create(Replay.create(workspace.id, DeliveryFilter(status=DeliveryStatus.DEAD)))
        narrowed = {unit.replays.create(Replay.create(workspace.id, DeliveryFilter(**each))).id for each in NARROWED}
        reasoned = unit.replays.create(Replay.create(workspace.id, DeliveryFilter(skip_reason=SkipReason.GONE)))
        unit.commit()
    engine.dispose()
    return plain.id, narrowed, reasoned.id


def test_releases_before_take_no_step_of_a_replay_whose_filters_they_do_not_know(database: Database) -> None:
    """They would send more than was asked for. This release takes the steps of all of them."""
    database.up(BY_REASON["revision"])
    plain, narrowed, reasoned = begun(database.url)
    assert database.connection.execute(FIRST_STEPS).fetchall() == [(plain,)]
    assert {each for (each,) in database.connection.execute(LATER_STEPS)} == {plain, *narrowed}
    later = "UPDATE noteflow.webhook_replays SET {0} = {0} - interval '1 hour' WHERE {0} IS NOT NULL"
    narrowed.add(reasoned)
    for column in ("narrowed_paced_at", "reasoned_paced_at"):
        database.connection.execute(later.format(column))
    engine = create_engine(database.url)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert [unit.replays.advance(limit=9) for _ in narrowed] == [0] * len(narrowed)
        unit.commit()
    engine.dispose()
    done = database.connection.execute("SELECT id FROM noteflow.webhook_replays WHERE state = 'done'").fetchall()
    assert {each for (each,) in done} == narrowed
    assert database.connection.execute(FIRST_STEPS).fetchall() == [(plain,)]


def test_on_the_way_down_such_replays_are_cancelled_and_named(database: Database) -> None:
    """And no replay is left that is paced for the end of time."""
    database.up(BY_REASON["revision"])
    plain, narrowed, reasoned = begun(database.url)
    said: list[str] = []
    database.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    database.connection.execute(BY_REASON["_CANCEL"])
    assert [f"replay {reasoned} of workspace" in line for line in said] == [True]
    database.down(BY_REASON["down_revision"])
    database.connection.execute(SCRIPT["_CANCEL"])
    narrowed.add(reasoned)
    assert {each for each in narrowed if any(f"replay {each} of workspace" in line for line in said)} == narrowed
    assert not any(str(plain) in line for line in said)
    database.down(SCRIPT["down_revision"])
    states = database.connection.execute(
        "SELECT id, state FROM noteflow.webhook_replays WHERE paced_at <= now()"
    ).fetchall()
    assert dict(states) == {plain: "running"} | dict.fromkeys(narrowed, "cancelled")
