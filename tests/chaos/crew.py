"""The workers of a run: two groups under gevent and one that forks, each a process group of its own.

Whoever starts them does so from the main thread, see the launcher.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final, Self

import psutil

from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import Program, worker_command
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from noteflow_hooks.local.stack.supervisor import Part
    from tests.support.system_rig import SystemRig

#: The groups that are killed as a whole.
GROUPS: Final = ("worker-1", "worker-2")
#: The one whose children are killed.
FORKING: Final = "prefork"
_POOL: Final = ("-P", "prefork", "-c", "2")
_READY: Final = " ready."
_OURS: Final = "workers.app"


class Crew:
    """The workers; use it as a context manager around everything that needs them."""

    def __init__(self, rig: SystemRig, app: str) -> None:
        """``app`` is the Celery app that they run."""
        self._rig = rig
        commands = {name: worker_command(number) for number, name in enumerate(GROUPS, start=1)}
        commands[FORKING] = _forking(worker_command(len(commands) + 1))
        self._programs = {name: self._program(name, _running(command, app)) for name, command in commands.items()}

    def __enter__(self) -> Self:
        for program in self._programs.values():
            program.start()
        for name in self._programs:
            until(lambda name=name: _READY in self._log(name), what=f"{name} is ready")  # type: ignore[misc]  # bound now
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, program in self._programs.items():
            self._signal(name, signal.SIGTERM)
            self._signal(name, signal.SIGCONT)
            program.stop(patience_s=4)

    @contextlib.contextmanager
    def frozen(self, names: Sequence[str]) -> Iterator[None]:
        """Stop these groups where they are; what is alive of them at the block's end is killed, and started again."""
        for name in names:
            self._signal(name, signal.SIGSTOP)
        yield
        for name in names:
            self._signal(name, signal.SIGKILL)
        for name in names:
            until(lambda name=name: self._programs[name].pid is None, what=f"{name} ends")  # type: ignore[misc]  # as above
            self._programs[name].start()

    @contextlib.contextmanager
    def frozen_child(self, place: int) -> Iterator[None]:
        """Stop one child of the forking worker, and kill it at the block's end; its parent replaces it."""
        until(self._children, what="the pool has children")
        children = self._children()
        child = children[place % len(children)]
        child.suspend()
        yield
        child.kill()
        until(lambda: child not in self._children(), what="the child is replaced")

    @property
    def parts(self) -> Sequence[Part]:
        """The workers, for whoever looks after them."""
        return list(self._programs.values())

    def _children(self) -> list[psutil.Process]:
        pid = self._programs[FORKING].pid
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).children() if pid is not None else []
        return []

    def _signal(self, name: str, number: signal.Signals) -> None:
        pid = self._programs[name].pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def _program(self, name: str, command: Sequence[str]) -> Program:
        folder = self._rig.folder
        env = variables({**self._rig.settings, "data_dir": folder})
        return Program(name, command, env=env, folder=folder / "run", log_path=folder / "logs" / f"{name}.log")

    def _log(self, name: str) -> str:
        return (self._rig.folder / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")


def _running(command: Sequence[str], app: str) -> Sequence[str]:
    """Return the command for that app: our own launcher runs no other than the product's."""
    if app == _OURS:
        return command
    replaced = {_OURS: app, "workers": "celery"}
    return [replaced.get(part, part) for part in command]


def _forking(command: Sequence[str]) -> Sequence[str]:
    start = command.index("-P")
    return [*command[:start], *_POOL, *command[start + len(_POOL) :]]
