"""The way to the database: bounded in time and number, and free again once the database is."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.interceptors.tokens import TOKEN_TTL_S, TokenCache
from noteflow_hooks.rpc.runtime.database import Database
from noteflow_hooks.rpc.runtime.tasks import OwnedTasks, repeat
from tests.support.builders import a_token, a_workspace
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

SOON = timedelta(seconds=0.05)
#: What no machine is so slow for.
LONG = timedelta(seconds=PATIENCE_S)


def _units(store: MemoryStore | None = None) -> Callable[[], UnitOfWork]:
    return partial(InMemoryUnitOfWork, store if store is not None else MemoryStore())


def _database(*, backlog: int = 1000, store: MemoryStore | None = None, deadline: timedelta = SOON) -> Database:
    return Database(_units(store), threads=2, deadline=deadline, backlog=backlog)


class Later:
    """The running loop's clock, which can be put forward. Make it inside the loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._before, self._shift_s = loop.time, 0.0
        loop.time = self._time  # type: ignore[method-assign]  # the loop asks itself for the time

    def let_pass(self, by: timedelta) -> None:
        """Put it forward."""
        self._shift_s += by.total_seconds()

    def _time(self) -> float:
        return self._before() + self._shift_s


def test_a_full_backlog_refuses_at_once() -> None:
    """Rather than let callers wait for what they won't get."""

    async def scenario() -> None:
        database, door = _database(backlog=3, deadline=LONG), threading.Event()
        waiting = [asyncio.create_task(database.call(door.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await database.call(door.wait)
        door.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        database.close()

    asyncio.run(scenario())


def test_a_busy_database_is_waited_for() -> None:
    """A queue that takes longer than the database may be silent is served, since it never is."""

    async def scenario() -> None:
        clock, answers = Later(), threading.Semaphore(0)
        database = Database(_units(), threads=2, deadline=2 * LONG, patience=100 * LONG)
        calls = [asyncio.create_task(database.call(answers.acquire)) for _ in range(24)]
        await asyncio.sleep(0)
        waiting = set(calls)
        while waiting:
            # Well within the deadline since the last answer, and far beyond it since the call.
            clock.let_pass(LONG)
            answers.release()
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.gather(*calls) == [True] * 24
        database.close()

    asyncio.run(scenario())


def test_patience_with_a_busy_database_ends() -> None:
    """A call that hangs while others are answered is given up as well."""

    async def scenario() -> None:
        clock, door = Later(), threading.Event()
        database = Database(_units(), threads=2, deadline=100 * LONG, patience=LONG)
        hanging = asyncio.create_task(database.call(door.wait))
        await asyncio.sleep(0)
        assert await database.call(lambda: True)
        clock.let_pass(LONG)
        with pytest.raises(UnavailableError):
            await hanging
        assert await database.call(lambda: True)
        door.set()
        database.close()

    asyncio.run(scenario())


def test_a_thread_that_comes_back_serves_again() -> None:
    """All threads stuck: refused at once. One free again: served."""

    async def scenario() -> None:
        database, door = _database(), threading.Event()
        stuck = [database.call(door.wait) for _ in range(2)]
        for outcome in await asyncio.gather(*stuck, return_exceptions=True):
            assert isinstance(outcome, UnavailableError)
        with pytest.raises(UnavailableError):
            await database.call(lambda: True)
        door.set()
        async with asyncio.timeout(PATIENCE_S):
            while not await _answers(database):
                pass
        database.close()

    asyncio.run(scenario())


def test_what_the_caller_gave_up_is_not_committed() -> None:
    """Even where it was under way already."""
    store, door, done = MemoryStore(), threading.Event(), threading.Event()

    def slow(unit: InMemoryUnitOfWork) -> None:
        unit.access.create_workspace(a_workspace())
        unit.on_commit(done.set)
        door.wait()

    async def scenario() -> None:
        database = _database(store=store)
        with pytest.raises(UnavailableError):
            await database.run(slow)  # type: ignore[arg-type]  # its own kind of unit is good enough here
        door.set()
        database.close()

    asyncio.run(scenario())
    with InMemoryUnitOfWork(store) as unit:
        assert not unit.access.list_workspaces()
    assert not done.is_set()


def test_a_token_is_remembered_for_its_time_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is passed in; the memory is bounded."""
    monkeypatch.setattr("noteflow_hooks.rpc.interceptors.tokens._CACHED", 1)
    store, now = MemoryStore(), [0.0]
    workspace, record = a_workspace(), a_token()
    with InMemoryUnitOfWork(store) as unit:
        unit.access.create_workspace(workspace)
        unit.access.create_token(a_token(workspace_id=workspace.id, id=record.id, token_hash=hash_token("t")))
        unit.access.create_token(a_token(workspace_id=workspace.id, token_hash=hash_token("u")))
        unit.commit()

    async def scenario() -> None:
        database = _database(store=store, deadline=LONG)
        tokens = TokenCache(database, tasks := OwnedTasks(), clock=lambda: now[0])
        assert (await tokens.find("t")) is not None
        with InMemoryUnitOfWork(store) as unit:
            unit.access.revoke_token(record.id)
            unit.commit()
        assert (await tokens.find("t")) is not None
        now[0] = TOKEN_TTL_S
        assert (await tokens.find("t")) is None
        assert (await tokens.find("u")) is not None
        await tasks.drain(within=LONG)
        database.close()

    asyncio.run(scenario())


def _with_tokens(scenario: Callable[[TokenCache, list[float], dict[str, UUID]], Awaitable[None]]) -> None:
    """Play it with a cache, the clock it goes by, and the ids of the tokens "t" and "u"."""
    store, now = MemoryStore(), [0.0]
    workspace = a_workspace()
    ids = {name: a_token().id for name in "tu"}
    with InMemoryUnitOfWork(store) as unit:
        unit.access.create_workspace(workspace)
        for name, token_id in ids.items():
            unit.access.create_token(a_token(workspace_id=workspace.id, id=token_id, token_hash=hash_token(name)))
        unit.commit()

    async def play() -> None:
        database, tasks = _database(store=store, deadline=LONG), OwnedTasks()
        await scenario(TokenCache(database, tasks, clock=lambda: now[0]), now, ids)
        await tasks.drain(within=LONG)
        database.close()

    asyncio.run(play())


def test_the_calls_of_a_token_in_use_wait_for_no_look_up() -> None:
    """It is looked up before its time is over; one that nobody uses any more is not, and runs out."""

    async def scenario(tokens: TokenCache, now: list[float], _: dict[str, UUID]) -> None:
        assert await tokens.find("t")
        assert await tokens.find("u")
        for second in range(1, 30):
            now[0] = float(second)
            await tokens.refresh()
            # Every seventh second, which is more than a token is remembered for.
            assert second % 7 or tokens.remembered("t")
        assert tokens.remembered("u") is None

    _with_tokens(scenario)


def test_a_token_that_has_ended_is_forgotten_as_soon_as_that_is_found_out() -> None:
    """And the others in use count on."""

    async def scenario(tokens: TokenCache, now: list[float], ids: dict[str, UUID]) -> None:
        assert await tokens.find("t")
        assert await tokens.find("u")
        await tokens._database.run(lambda unit: unit.access.revoke_token(ids["t"]))  # noqa: SLF001 - any database
        now[0] = 2.0
        await tokens.refresh()
        assert tokens.remembered("t") is None
        now[0] = 4.0
        assert tokens.remembered("u")
        assert await tokens.find("t") is None

    _with_tokens(scenario)


def test_a_token_s_record_is_read_anew_after_a_minute() -> None:
    """However often it is used: a record that somebody has changed by hand counts by then."""

    async def scenario(tokens: TokenCache, now: list[float], _: dict[str, UUID]) -> None:
        assert await tokens.find("t")
        for second in range(1, 70):
            now[0] = float(second)
            await tokens.refresh()
            assert tokens.remembered("t") or second > 60
        assert tokens.remembered("t") is None

    _with_tokens(scenario)


def test_the_use_of_a_token_that_is_never_looked_up_by_a_call_is_recorded() -> None:
    """Also in the second minute, once it was used in that."""
    uses: list[object] = []

    async def scenario(tokens: TokenCache, now: list[float], ids: dict[str, UUID]) -> None:
        async def note(token_id: UUID) -> None:
            uses.append((now[0], token_id == ids["t"]))

        tokens._note_use = note  # type: ignore[method-assign]  # noqa: SLF001 - the clock of the store is another one
        assert await tokens.find("t")
        await asyncio.sleep(0)
        for second in (2.0, 4.0, 58.0, 59.0):
            now[0] = second
            await tokens.refresh()
            assert await tokens.find("t")
        now[0] = 60.5
        assert tokens.remembered("t")
        await tokens.refresh()
        await asyncio.sleep(0)

    _with_tokens(scenario)
    assert uses == [(0.0, True), (60.5, True)]


def test_a_job_that_fails_is_done_again(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is away is no news; anything else is logged."""
    outcomes: list[Exception] = [UnavailableError(), ValueError("unforeseen")]
    done = asyncio.Event()

    async def job() -> None:
        if outcomes:
            raise outcomes.pop(0)
        done.set()

    async def scenario() -> None:
        task = asyncio.create_task(repeat(job, every=timedelta(0)))
        await asyncio.wait_for(done.wait(), timeout=PATIENCE_S)
        assert task.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.text.count("a background job failed") == 1


def test_draining_ends_what_takes_too_long() -> None:
    """And waits for the rest."""
    done: list[str] = []

    async def work(pause: float) -> None:
        await asyncio.sleep(pause)
        done.append("done")

    async def scenario() -> None:
        tasks = OwnedTasks()
        await tasks.drain(within=SOON)
        soon = tasks.start(work(0))
        late = tasks.start(work(3600))
        await tasks.drain(within=SOON)
        assert late.cancelled()
        assert soon.done()

    asyncio.run(scenario())
    assert done == ["done"]


async def _answers(database: Database) -> bool:
    try:
        return await database.call(lambda: True)
    except UnavailableError:
        return False
