"""Calls in the event loop's own thread: whatever waits there is put aside, and holds up nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.runtime.database import Database
from noteflow_hooks.rpc.runtime.fair_queue import Lane, current_lane, enter_lane
from noteflow_hooks.rpc.runtime.greenlets import READABLE, WRITABLE, LoopWaits, SocketWaits, give_way
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Offer two ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0)
        yield one, other


def in_loop(scenario: Callable[[Database], Coroutine[Any, Any, None]], *, places: int = 4, lists: float = 0.5) -> None:
    """Run it with a database whose units run in the loop."""

    async def run() -> None:
        units = partial(InMemoryUnitOfWork, MemoryStore())
        database = Database(units, threads=places, reads_share=lists, in_loop=True)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await scenario(database)
        finally:
            database.close()

    asyncio.run(run())


def test_a_call_that_waits_for_its_socket_lets_the_loop_go_on(pair: tuple[socket.socket, socket.socket]) -> None:
    """In the loop's own thread; and the next wait for the same socket is woken as well."""
    one, other = pair
    waits, threads = SocketWaits(one.fileno()), set()

    def receive(_: UnitOfWork) -> bytes:
        threads.add(threading.current_thread())
        assert LoopWaits.is_aside()
        assert waits.wait(READABLE) == READABLE
        return one.recv(10)

    async def scenario(database: Database) -> None:
        for word in (b"one", b"two"):
            call = asyncio.create_task(database.run(receive))
            await asyncio.sleep(0)
            assert not call.done()
            other.send(word)
            assert await call == word
        assert threads == {threading.current_thread()}

    in_loop(scenario)


def test_a_socket_is_waited_for_that_has_the_number_of_a_closed_one() -> None:
    """Nobody tells the loop that a socket is closed which it watches, and the system gives its number to the next."""

    def receive(one: socket.socket) -> bytes:
        SocketWaits(one.fileno()).wait(READABLE)
        # At once, so that nothing is left to be read, which would tell the loop.
        return one.recv(1)

    async def scenario(database: Database) -> None:
        numbers = set()
        for _ in range(3):
            one, other = socket.socketpair()
            numbers.add(one.fileno())
            call = asyncio.create_task(database.run(lambda _, one=one: receive(one)))  # type: ignore[misc]  # bound at once
            await asyncio.sleep(0)
            other.send(b"x")
            assert await call == b"x"
            one.close()
            other.close()
        assert len(numbers) == 1

    in_loop(scenario)


def test_a_full_socket_is_waited_for_that_has_the_number_of_a_closed_one() -> None:
    """As a new connection's whose first statement is a large one, after a restart of PostgreSQL."""

    def receive(one: socket.socket) -> bytes:
        SocketWaits(one.fileno()).wait(READABLE)
        return one.recv(1)

    async def scenario(database: Database) -> None:
        closed, other = socket.socketpair()
        number = closed.fileno()
        other.send(b"x")
        assert await database.run(lambda _: receive(closed)) == b"x"
        closed.close()
        one, another = socket.socketpair()
        with other, one, another:
            assert one.fileno() == number
            one.settimeout(0)
            left = _fill(one)
            call = asyncio.create_task(database.run(lambda _: SocketWaits(number).wait(READABLE | WRITABLE)))
            await asyncio.sleep(0)
            assert not call.done()
            while left:
                left -= len(another.recv(65536))
            assert await call == WRITABLE

    in_loop(scenario)


def test_what_comes_while_nobody_waits_does_not_keep_the_loop_busy(pair: tuple[socket.socket, socket.socket]) -> None:
    """As a server's goodbye to a connection at rest does; and who waits later finds it at once."""
    one, other = pair
    waits = SocketWaits(one.fileno())

    async def scenario(database: Database) -> None:
        other.send(b"a")
        await database.run(lambda _: waits.wait(READABLE))
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not loop.remove_reader(one.fileno())
        assert await database.run(lambda _: waits.wait(READABLE)) == READABLE

    in_loop(scenario)


def _fill(sender: socket.socket) -> int:
    """Send until there is no room; return how many bytes that were."""
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += sender.send(bytes(65536))
    return sent


def test_a_wait_to_write_ends_when_there_is_room(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whatever may be read meanwhile."""
    one, other = pair
    waits = SocketWaits(one.fileno())
    sent = _fill(one)

    async def scenario(database: Database) -> None:
        call = asyncio.create_task(database.run(lambda _: waits.wait(READABLE | WRITABLE)))
        await asyncio.sleep(0)
        assert not call.done()
        left = sent
        while left:
            left -= len(other.recv(65536))
        assert await call == WRITABLE

    in_loop(scenario)


def test_long_work_gives_way_in_the_loop_and_not_in_a_thread() -> None:
    """There, threads take turns by themselves."""
    turns: list[str] = []

    def work(name: str) -> None:
        for _ in range(3):
            turns.append(name)
            give_way()

    async def scenario(database: Database) -> None:
        await asyncio.gather(*(database.run(lambda _, name=name: work(name)) for name in "ab"))  # type: ignore[misc]  # bound at once
        assert turns == list("ababab")
        await database.call(lambda: work("c"))
        assert turns[6:] == ["c"] * 3

    in_loop(scenario)


def test_what_blocks_is_made_in_a_thread() -> None:
    """A look-up of a name, a large unit; and a call inside the loop may have something made there, too."""

    def elsewhere(_: object = None) -> bool:
        return threading.current_thread() is not threading.main_thread()

    async def scenario(database: Database) -> None:
        assert await database.call(elsewhere)
        assert await database.run(elsewhere, is_large=True)
        assert not await database.run(elsewhere)
        assert await database.run(lambda _: LoopWaits().in_thread(elsewhere))
        with pytest.raises(ValueError, match="in there"):
            await database.run(lambda _: LoopWaits().in_thread(partial(_fail, "in there")))

    in_loop(scenario)


def test_a_call_that_was_queued_sees_its_own_callers_context(pair: tuple[socket.socket, socket.socket]) -> None:
    """It begins where another caller's ends, and what that one is known by must not be taken for its own."""
    one, other = pair
    seen: list[str] = []

    def note(_: UnitOfWork) -> None:
        seen.append(str(current_lane().key))
        SocketWaits(one.fileno()).wait(READABLE)
        seen.append(str(current_lane().key))

    async def call(database: Database, name: str) -> None:
        enter_lane(Lane(name))
        await database.run(note)

    async def scenario(database: Database) -> None:
        calls = [asyncio.create_task(call(database, name)) for name in ("one", "two", "three")]
        await asyncio.sleep(0)
        other.send(b"x")
        await asyncio.gather(*calls)
        assert seen == ["one", "one", "two", "two", "three", "three"]

    in_loop(scenario, places=1, lists=1.0)


def _fail(text: str) -> None:
    raise ValueError(text)


def test_a_call_begins_when_there_is_a_place_for_it(pair: tuple[socket.socket, socket.socket]) -> None:
    """One whose caller went away before never does."""
    one, other = pair
    begun: list[str] = []

    def wait(name: str) -> None:
        begun.append(name)
        SocketWaits(one.fileno()).wait(READABLE)

    async def call(database: Database, name: str) -> None:
        enter_lane(Lane("same"))
        await database.run(lambda _: wait(name))

    async def scenario(database: Database) -> None:
        calls = [asyncio.create_task(call(database, name)) for name in ("first", "gone", "last")]
        await asyncio.sleep(0)
        assert begun == ["first"]
        calls[1].cancel()
        other.send(b"x")
        await asyncio.gather(calls[0], calls[2])
        assert begun == ["first", "last"]

    in_loop(scenario, places=1, lists=1.0)
