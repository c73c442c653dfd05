"""systemd's part on a machine that has none: services are started from their unit files, as the files say."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import Program
from noteflow_hooks.settings import PREFIX
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

#: What a program's log says once systemd would take it for started.
_READY: Final = re.compile(r" ready\.|serving gRPC on|beat: Starting")
_TARGET: Final = "noteflow-hooks.target"
#: What runs once, and what other tests run and this machine can do without.
_NOT_KEPT: Final = ("noteflow-hooks-migrate", "noteflow-hooks-dashboard", "noteflow-hooks-exporter")
_BIN: Final = "/opt/noteflow-hooks/bin/"
#: The longest that a stop may take; the units allow more.
_PATIENCE_S: Final = 50.0


class Units:
    """The services of a machine's folder. What ``systemctl`` is told is done when it returns."""

    def __init__(self, root: Path, differs: Mapping[str, Any]) -> None:
        """``differs`` are settings of this machine alone."""
        self._root = root
        self._differs = differs
        self._enabled: set[str] = set()
        self.running: dict[str, Program] = {}

    def systemctl(self, words: Sequence[str]) -> None:
        """Do what this command line says."""
        verb, names = words[0], [each for each in words[1:] if not each.startswith("--")]
        if verb == "enable":
            self._enabled |= set(names)
        if verb == "disable":
            self._enabled -= set(names)
        does: dict[str, Callable[[str], None]]
        does = {"enable": self._start, "disable": self._stop, "kill": self._kill, "restart": self._restart}
        does |= {"start": self._start, "stop": self._stop, "daemon-reload": lambda _: None}
        for name in self._named(names, starts=verb == "start"):
            does[verb](name)

    def pid(self, name: str) -> int:
        """Return the first process of a service."""
        pid = self.running[name].pid
        assert pid is not None
        return pid

    def close(self) -> None:
        """End what runs."""
        for name in list(self.running):
            self._stop(name)

    def _named(self, names: Sequence[str], *, starts: bool) -> Iterator[str]:
        for name in names:
            if name == _TARGET:
                yield from sorted(self._enabled - {_TARGET}) if starts else list(self.running)
            elif "*" in name:
                yield from [each for each in list(self.running) if fnmatch.fnmatch(each, name)]
            else:
                yield name

    def _start(self, name: str) -> None:
        if name in (*self.running, *_NOT_KEPT):
            return
        log = self._root.parent / f"{name}.log"
        former = log.stat().st_size if log.exists() else 0
        program = Program(name, self._command(name), env=self._environment(name), folder=self._root, log_path=log)
        program.start()
        self.running[name] = program

        def said() -> str:
            return log.read_text()[former:]

        until(lambda: _READY.search(said()) or program.pid is None, what=lambda: f"{name}: {said()}")
        assert program.pid is not None, said()

    def _stop(self, name: str) -> None:
        if name in self.running:
            self.running.pop(name).stop(patience_s=_PATIENCE_S)

    def _restart(self, name: str) -> None:
        self._stop(name)
        self._start(name)

    def _kill(self, name: str) -> None:
        """Kill it, and start it again as ``Restart=always`` does."""
        program = self.running.pop(name)
        os.kill(program.pid or 0, signal.SIGKILL)
        until(lambda: program.pid is None, what=f"{name} ends")
        self._start(name)

    def _file(self, name: str) -> dict[str, list[str]]:
        """Return what a service's file says: the values of each key, with its instance put in."""
        kind, _, instance = name.partition("@")
        folder = self._root / "etc" / "systemd" / "system"
        text = (folder / f"{kind}{'@' if instance else ''}.service").read_text()
        found: dict[str, list[str]] = {}
        for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE):
            found.setdefault(key, []).append(value.replace("%i", instance).replace("%%", "%"))
        return found

    def _command(self, name: str) -> list[str]:
        said = self._file(name)
        given = dict(each.split("=", 1) for each in said.get("Environment", ()))
        words = [
            re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], each) for each in shlex.split(said["ExecStart"][0])
        ]
        # This environment's own programs: those of the one that the page makes have yet to be compiled at each start.
        first = {"python": [sys.executable], "noteflow-hooks": [sys.executable, "-m", "noteflow_hooks.cli"]}
        return [*first[words[0].removeprefix(_BIN)], *words[1:]]

    def _environment(self, name: str) -> dict[str, str]:
        """Return what the file of settings says, which is root's, and nothing of the shell's."""
        lines = (self._root / "etc" / "noteflow-hooks" / "environment").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines)
        kept = {key: value for key, value in variables(self._differs).items() if not key.startswith("PG")}
        assert all(key.startswith(PREFIX) for key in told), name
        return kept | {key: value.strip("'") for key, value in told.items()}
