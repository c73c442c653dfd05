"""What a meeting's call has workers do begins once the call is answered, and begins whatever becomes of the caller."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from noteflow_hooks.persistence.memory import InMemoryUnitOfWork
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.after_answer import AfterAnswers
from tests.integration.rpc.world import World, eventually
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_meeting_s_event_is_announced_once_its_call_is_answered() -> None:
    """Where the announcement came first and hung, the answer would never come."""
    answered, in_time = threading.Event(), []
    with World() as world:
        meeting = world.a_meeting()
        world.service.put_off_by(_noting(world, lambda: in_time.append(answered.wait(PATIENCE_S))))
        world.stop_meeting(meeting.id)
        answered.set()
        eventually(lambda: bool(world.announced))
    assert in_time == [True]


def _noting(world: World, note: Callable[[], None]) -> Callable[[Callable[[], None]], None]:
    """Return what puts off as the server does, and makes a note in front of each call."""
    put_off = world.service._put_off  # noqa: SLF001 - as the server has set it

    def noted(call: Callable[[], None]) -> None:
        note()
        call()

    return lambda call: put_off(lambda: noted(call))


class _Hesitant(InMemoryUnitOfWork):
    """A unit that waits within its commit, once it is told to."""

    hesitates = False
    entered = threading.Event()
    go_on = threading.Event()

    def commit(self) -> None:
        if _Hesitant.hesitates:
            _Hesitant.entered.set()
            assert _Hesitant.go_on.wait(PATIENCE_S)
        super().commit()


def test_it_is_announced_though_the_caller_is_gone_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs up while its change is being committed leaves nothing to the relay."""
    with World(units=lambda store: lambda: _Hesitant(store)) as world:
        meeting = world.a_meeting()
        monkeypatch.setattr(_Hesitant, "hesitates", True)
        call = world.client.meetings.StopMeeting.future(pb.StopMeetingRequest(meeting_id=meeting.id))
        assert _Hesitant.entered.wait(PATIENCE_S)
        call.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            call.result()
        _Hesitant.go_on.set()
        eventually(lambda: world.announced == [event.id for event in world.events()] != [])


def test_what_waits_as_the_server_stops_is_done_then() -> None:
    """And what comes later, from a thread that hung in the database, at once: the loop makes no more calls."""
    made: list[str] = []

    async def stop() -> AfterAnswers:
        after = AfterAnswers()
        after.put_off(lambda: made.append("waiting"))
        assert made == []
        after.close()
        assert made == ["waiting"]
        return after

    asyncio.run(stop()).put_off(lambda: made.append("late"))
    assert made == ["waiting", "late"]
