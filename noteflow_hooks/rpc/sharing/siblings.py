"""What the servers of a group ask of each other: to stop a meeting that another one of them records.

Only the stream's own server knows how much audio came, and which segments are not stored, so that one does the work. It
says at once that it has heard; one that doesn't is not waited for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError
from noteflow_hooks.rpc.sharing.counting import Tally

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks
    from noteflow_hooks.rpc.sharing.membership import Membership
    from noteflow_hooks.rpc.sharing.memory import SharedMemory

log = logging.getLogger(__name__)

#: Stops a meeting, with its workspace, if a stream of this server records it.
StopHere = Callable[[UUID, UUID], Awaitable[object]]

#: How long another server may take to say that it has heard.
_HEARD_S: Final = 0.4
#: How often it is looked whether a server that has heard still lives.
_LOOK_EVERY_S: Final = 0.2
#: How often it is looked whether another server has ended a recording.
_ENDED_EVERY_S: Final = 0.02
_LONGEST: Final = 4096
#: What is answered: that the question came; then how it went.
_HEARD: Final = "heard"
_DONE: Final = "done"
_UNAVAILABLE: Final = "unavailable"


class Siblings:
    """The other servers of the group. Belongs to one event loop."""

    def __init__(self, membership: Membership, memory: SharedMemory, tasks: OwnedTasks) -> None:
        """``tasks`` run what others ask for."""
        self._membership = membership
        self._memory = memory
        self._tasks = tasks
        #: Which servers record a meeting, and which are just ending a recording of it.
        self._recording = Tally(memory, "recordings", number=membership.number)
        self._ending = Tally(memory, "recordings' ends", number=membership.number)
        self._asked: dict[str, asyncio.Queue[str]] = {}
        self._mailbox = _open(membership.mailbox)
        self._mailboxes = [_open(each) for each in membership.mailboxes]

    def listen(self, stop_here: StopHere) -> None:
        """Answer what others ask, from now on; call it in the event loop."""
        self._stop_here = stop_here
        asyncio.get_running_loop().add_reader(self._mailbox.fileno(), self._read)

    def close(self) -> None:
        """Answer no more."""
        asyncio.get_running_loop().remove_reader(self._mailbox.fileno())
        for each in (self._mailbox, *self._mailboxes):
            each.close()

    def begin(self, meeting_id: UUID) -> Callable[[], None]:
        """Let the others know that this server records the meeting, until what this returns is called."""
        return _leaving(self._recording, meeting_id)

    def end(self, meeting_id: UUID) -> Callable[[], None]:
        """Let the others know that this server is just ending a recording, until what this returns is called."""
        return _leaving(self._ending, meeting_id)

    async def ended(self, meeting_id: UUID, *, within_s: float) -> None:
        """Wait while another server is just ending a recording of the meeting."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._ending.numbers(meeting_id):  # noqa: ASYNC110 - another process can't set an event here
                    await asyncio.sleep(_ENDED_EVERY_S)

    async def stop(self, workspace_id: UUID, meeting_id: UUID) -> None:
        """Have a server that records the meeting stop it with all that has arrived, if there is one that answers.

        Raise UnavailableError where its database does not answer.
        """
        for number in self._recording.numbers(meeting_id):
            if await self._ask(number, [str(workspace_id), str(meeting_id)]) == _UNAVAILABLE:
                raise UnavailableError("the server that records this meeting can't reach the database; try again")

    async def _ask(self, number: int, meeting: list[str]) -> str | None:
        """Return the server's answer; None where it doesn't hear, or dies meanwhile."""
        pid = self._memory.pids[number - 1]
        question, answers = uuid4().hex, asyncio.Queue[str]()
        self._asked[question] = answers
        try:
            if not pid or not self._send(number, question=question, stop=meeting):
                return None
            if await _next(answers, within_s=_HEARD_S) is None:
                log.warning(
                    "server %d of the group (pid %d) does not answer; meeting %s is stopped without what it knows",
                    number,
                    pid,
                    meeting[1],
                )
                return None
            while self._memory.pids[number - 1] == pid:
                if (answer := await _next(answers, within_s=_LOOK_EVERY_S)) is not None:
                    return answer
            return None
        finally:
            del self._asked[question]

    def _send(self, number: int, **message: object) -> bool:
        data = json.dumps({"from": self._membership.number, **message}).encode()
        try:
            self._mailboxes[number - 1].send(data)
        except OSError as error:
            # Full, since nobody has read it for long.
            log.warning("server %d of the group can't be asked: %s", number, error.strerror)
            return False
        return True

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._take(json.loads(self._mailbox.recv(_LONGEST)))

    def _take(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            self._answer(message, _HEARD)
            _ = self._tasks.start(self._stop(message))
        elif (answers := self._asked.get(message["question"])) is not None:
            answers.put_nowait(message["answer"])

    async def _stop(self, message: dict[str, Any]) -> None:
        workspace_id, meeting_id = map(UUID, message["stop"])
        answer = _DONE
        try:
            await self._stop_here(workspace_id, meeting_id)
        except UnavailableError:
            answer = _UNAVAILABLE
        except NoteFlowHooksError as error:
            # Whoever asked stops the meeting itself then, and gets the same error if that is how it is.
            log.debug("meeting %s could not be stopped for another server: %s", meeting_id, error)
        except Exception:
            # The boundary of a task that nobody here waits for.
            log.exception("meeting %s could not be stopped for another server", meeting_id)
        self._answer(message, answer)

    def _answer(self, message: dict[str, Any], answer: str) -> None:
        self._send(message["from"], question=message["question"], answer=answer)


def _open(descriptor: int) -> socket.socket:
    """Return a socket of our own for what was inherited, so that closing it closes nothing of another's."""
    opened = socket.socket(fileno=os.dup(descriptor))
    opened.settimeout(0)
    return opened


def _leaving(tally: Tally, key: UUID) -> Callable[[], None]:
    cell = tally.enter(key)

    def leave() -> None:
        if cell is not None:
            tally.leave(cell)

    return leave


async def _next(answers: asyncio.Queue[str], *, within_s: float) -> str | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await answers.get()
    return None
