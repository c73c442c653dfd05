"""Several servers on one port: each is a process of its own, and one that dies is started again.

The first one is started alone, so that whatever keeps it from serving is said once, by that one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.local.children import launcher
from noteflow_hooks.rpc.server.port import SharedPort
from noteflow_hooks.rpc.sharing.membership import Memberships
from noteflow_hooks.rpc.sharing.memory import SharedMemory
from noteflow_hooks.telemetry.memory import SharedFigures
from noteflow_hooks.telemetry.starting import answer_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger(__name__)

#: A server that served for so long before it died is started again at once.
_WELL_S: Final = 10.0
#: The waits before the first, second, ... restart in a row; after that always the last one.
_WAITS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
#: How often it is looked, at the start, whether a server serves.
_LOOK_EVERY_S: Final = 0.05
#: How long a server may take to end: twice its own grace, and then some.
_PATIENCE: Final = timedelta(seconds=15)
_FAILED: Final = 1


class ServerGroup:
    """Runs the servers until SIGTERM or SIGINT. Use it in the main thread: the servers end when that one does."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        count: int,
        bind: str,
        env: Mapping[str, str],
        metrics_bind: str | None = None,
    ) -> None:
        """``command`` starts a server; it gets ``--member`` and the address in ``env``.

        With ``metrics_bind``, this process answers there what all servers count. Raise SettingsError where the address
        can't be had, or can't be shared.
        """
        if sys.platform != "linux":
            raise SettingsError("several processes on one port need Linux; start one with --processes 1")
        self._command = command
        self._port = SharedPort(bind)
        self._env = {**env, "NOTEFLOW_HOOKS_GRPC_BIND": self._port.address}
        self._memberships = Memberships(count, measures=metrics_bind is not None)
        if metrics_bind is not None:
            answer_metrics(metrics_bind, SharedFigures.opened(self._memberships.figures))
        self._memory = SharedMemory(self._memberships.memory, count=count)
        self._members = [_Member(self, number) for number in range(1, count + 1)]

    def run(self, ready: Callable[[str], None]) -> int:
        """Serve, call ``ready`` with the address once all servers serve, and return the exit status."""
        try:
            return asyncio.run(self._run(ready))
        finally:
            self._memberships.close()
            self._port.close()

    async def _run(self, ready: Callable[[str], None]) -> int:
        self.ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.ended.set)
        first, *others = self._members
        keepers = [asyncio.create_task(first.keep(only_if_it_served=True))]
        await self._until_serving([first], keepers)
        if not keepers[0].done() and not self.ended.is_set():
            keepers += [asyncio.create_task(member.keep()) for member in others]
            await self._until_serving(self._members, keepers)
            if not self.ended.is_set():
                ready(self._port.address)
        await asyncio.gather(*keepers)
        return 0 if self.ended.is_set() else _FAILED

    async def _until_serving(self, members: Sequence[_Member], keepers: Sequence[asyncio.Task[None]]) -> None:
        while not (all(each.serves for each in members) or self.ended.is_set() or any(each.done() for each in keepers)):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), _LOOK_EVERY_S)

    async def spawn(self, number: int) -> asyncio.subprocess.Process:
        """Start the server of that number."""
        membership = self._memberships.of(number)
        tied = (sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *tied,
            *self._command,
            "--member",
            str(membership),
            stdin=asyncio.subprocess.DEVNULL,
            env=self._env,
            pass_fds=membership.descriptors,
        )

    def serves(self, number: int) -> bool:
        """Tell whether the server of that number serves."""
        return self._memory.pids[number - 1] != 0

    def bury(self, number: int) -> None:
        """Forget what the server of that number had open; its process has ended."""
        self._memory.clear(number)


class _Member:
    """One of the servers."""

    def __init__(self, group: ServerGroup, number: int) -> None:
        self._group = group
        self._number = number
        self._deaths = 0

    @property
    def serves(self) -> bool:
        """Whether it serves, or did until a moment ago."""
        return self._group.serves(self._number)

    async def keep(self, *, only_if_it_served: bool = False) -> None:
        """Start it, again and again, until the group ends; or until it ends without ever having served."""
        ended = self._group.ended
        while not ended.is_set():
            began = time.monotonic()
            process = await self._group.spawn(self._number)
            await _until_either(process, ended)
            served = self.serves
            if ended.is_set():
                await _end(process)
            self._group.bury(self._number)
            if only_if_it_served and not (served or ended.is_set()):
                return
            only_if_it_served = False
            if not ended.is_set():
                await self._pause(process, lived_s=time.monotonic() - began)

    async def _pause(self, process: asyncio.subprocess.Process, *, lived_s: float) -> None:
        self._deaths = 1 if lived_s >= _WELL_S else self._deaths + 1
        wait_s = _WAITS_S[min(self._deaths, len(_WAITS_S)) - 1]
        fate = _fate(process.returncode)
        log.warning("server %d (pid %d) %s; it is started again in %g s", self._number, process.pid, fate, wait_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._group.ended.wait(), wait_s)


async def _until_either(process: asyncio.subprocess.Process, ended: asyncio.Event) -> None:
    waits = [asyncio.create_task(process.wait()), asyncio.create_task(ended.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it in good order, or after its time is up at once."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            await process.wait()
    except TimeoutError:
        log.warning("the server with pid %d did not end in time and is killed", process.pid)
        process.kill()
        await process.wait()


def _fate(code: int | None) -> str:
    return f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
