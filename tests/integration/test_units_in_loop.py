"""Units of work in an event loop's own thread: one that waits for PostgreSQL holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.engine import create_engine, give_back, lend
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.runtime.database import Database
from noteflow_hooks.rpc.runtime.greenlets import LoopWaits
from tests.support.builders import a_webhook, a_workspace
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

BOX: Final = SecretBox([bytes(32)])
NAME: Final = "units-in-loop"
CONNECTIONS: Final = 3


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    """Offer an engine whose connections can be waited for in the loop."""
    url = f"{clean_database}&application_name={NAME}"
    made = create_engine(url, connections=CONNECTIONS, wait_s=PATIENCE_S, waits=LoopWaits())
    yield made
    made.dispose()


@pytest.fixture
def outside(clean_database: str) -> Iterator[psycopg.Connection]:
    """Offer a connection that is none of the engine's."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def webhook_id(engine: Engine) -> UUID:
    """Offer an endpoint."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        made = unit.webhooks.create(a_webhook(workspace_id=workspace.id))
        unit.commit()
    return made.id


def in_loop(engine: Engine, scenario: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    """Run it with a database over the engine."""

    async def run() -> None:
        database = Database(partial(SqlAlchemyUnitOfWork, engine, BOX), threads=CONNECTIONS, in_loop=True)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(database)
        finally:
            database.close()

    asyncio.run(run())


def test_a_unit_that_waits_for_a_lock_lets_others_be_done(
    engine: Engine, outside: psycopg.Connection, webhook_id: UUID
) -> None:
    """By statements of ours and by SQLAlchemy's session alike, all in one thread."""
    threads: set[threading.Thread] = set()

    def lock(unit: UnitOfWork) -> bool:
        threads.add(threading.current_thread())
        # It is there, or erased before: either may have come first.
        unit.webhooks.get_by_id(webhook_id, lock=True)
        return True

    def erase(unit: UnitOfWork) -> bool:
        threads.add(threading.current_thread())
        return unit.webhooks.delete(webhook_id)

    async def scenario(database: Database) -> None:
        with outside.transaction():
            outside.execute("SELECT FROM noteflow.webhook_configs FOR UPDATE")
            waiting = [asyncio.create_task(database.run(each)) for each in (lock, erase)]
            for _ in range(20):
                assert await database.run(lambda unit: unit.webhooks.get_by_id(webhook_id) is not None)
            assert not any(each.done() for each in waiting)
        assert await asyncio.gather(*waiting) == [True, True]
        assert threads == {threading.current_thread()}

    in_loop(engine, scenario)


def test_lost_connections_are_made_anew_without_the_loop(
    engine: Engine, outside: psycopg.Connection, webhook_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that were at hand are gone after a restart of PostgreSQL; each unit is done all the same."""
    made_in: list[threading.Thread] = []
    connect = psycopg.Connection.connect

    def noted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg's
        made_in.append(threading.current_thread())
        return connect(*args, **options)

    def read(unit: UnitOfWork) -> bool:
        return unit.webhooks.get_by_id(webhook_id) is not None

    async def scenario(database: Database) -> None:
        assert all(await asyncio.gather(*(database.run(read) for _ in range(9))))
        made_in.clear()
        outside.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [NAME])
        assert all(await asyncio.gather(*(database.run(read) for _ in range(9))))
        assert 1 <= len(made_in) <= CONNECTIONS
        assert threading.current_thread() not in made_in

    monkeypatch.setattr("noteflow_hooks.persistence.sql.engine.psycopg.connect", noted)
    monkeypatch.setattr(psycopg, "connect", noted)
    in_loop(engine, scenario)


def test_what_was_lent_is_at_hand_for_the_next_unit(engine: Engine) -> None:
    """The pool is not asked again; what still has a transaction goes the long way, which rolls it back."""
    first = lend(engine)
    give_back(engine, first)
    assert lend(engine) is first
    first.cursor().execute("CREATE TEMPORARY TABLE left_open ()")
    give_back(engine, first)
    again = lend(engine)
    assert again is not first
    cursor = again.cursor()
    cursor.execute("SELECT to_regclass('left_open')")
    assert cursor.fetchone() == (None,)
    again.close()


def test_what_a_gone_caller_has_left_under_way_ends_before_the_loop_does(
    engine: Engine, outside: psycopg.Connection, webhook_id: UUID
) -> None:
    """Its transaction would stay open for as long as the process lives: nobody ever asked its socket again."""
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock')"

    async def scenario(database: Database) -> None:
        with outside.transaction():
            outside.execute("SELECT FROM noteflow.webhook_configs FOR UPDATE")
            call = asyncio.create_task(database.run(lambda unit: unit.webhooks.get_by_id(webhook_id, lock=True)))
            while outside.execute(waiting, [NAME]).fetchone() != (True,):  # noqa: ASYNC110 - PostgreSQL tells nobody
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await database.finish(within=timedelta(seconds=PATIENCE_S))

    in_loop(engine, scenario)
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL"
    assert outside.execute(open_ones, [NAME]).fetchone() == (0,)
