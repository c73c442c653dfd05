"""The services of ``compose.yaml`` as plain processes: their commands and environments, with no container around them.

What a container would give is put in by hand, and nothing else: the two images' addresses, free ports, host names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.compose_file import ComposeFile, Service

#: Of this process's own environment, what lets a process run here at all and be measured.
_KEPT: Final = re.compile(r"PYTHONPATH|LANG|TMPDIR|LD_LIBRARY_PATH|COVERAGE_.*")
#: Where a service's check asks in its container, and the line that tells where it listens here. The dashboard's asks
#: where its environment says.
_LISTENING: Final = {
    "server": ("127.0.0.1:50051", re.compile(r"serving gRPC on (127\.0\.0\.1:\d+)")),
    "worker": ("", re.compile(r"(worker@\S+) ready")),
    "beat": ("", re.compile(r"(beat: Starting)")),
    "dashboard": ("", re.compile(r"the dashboard is at http://(127\.0\.0\.1:\d+)")),
    "flower": ("127.0.0.1:5555", re.compile(r"Visit me at http://(127\.0\.0\.1:\d+)")),
}
#: The port at which the server listens in its container.
_INSIDE: Final = 50051


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """One container's stand-in. A scaled service has several."""

    service: Service
    process: subprocess.Popen[bytes]
    log_path: Path
    environment: dict[str, str]

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.log_path.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """Return the process and all that it has started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def __str__(self) -> str:
        """Say how it is, and what it said last: for failures."""
        return f"{self.log_path.stem} (exit code {self.process.poll()}) ends:\n" + self.log[-3000:]


@dataclass(slots=True)
class ComposedSystem:
    """All services that run our code, started in their order. ``replaced`` takes the place of what the file says."""

    composition: ComposeFile
    folder: Path
    replaced: Mapping[str, str]
    #: What a container would have mounted or been given beyond the file, as in a ``compose.override.yaml``.
    added: Mapping[str, str]
    scale: Mapping[str, int]
    running: list[ServiceProcess] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start every service once those that it waits for are as it needs them."""
        for service in self.composition.ours:
            for name in [name for name, condition in service.waits_for.items() if condition == "service_healthy"]:
                self._wait_for(name)
            for number in range(1, self.scale.get(service.name, 1) + 1):
                self.running.append(self._spawn(service, f"{service.name}-{number}"))
        # Nothing waits for the others to be healthy, so they start side by side, as they do under Compose.
        for each in self.running:
            self._wait_for(each.service.name)

    def _wait_for(self, name: str) -> None:
        for each in [each for each in self.running if each.service.name == name and name not in self.addresses]:
            if each.service.health_command:
                self._wait_until_healthy(each)

    def run(self, service: str, *command: str) -> str:
        """Run another command in a service, as ``docker compose exec`` does, and return what it prints."""
        environment = self._environment(self.composition.services[service])
        done = subprocess.run(  # its own error is what a failure shows
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> Iterator[tuple[ServiceProcess, int, list[psutil.Process]]]:
        """End each process, the last one first; yield it with its exit code and what is left of its family."""
        while self.running:
            each = self.running.pop()
            family = each.family() if each.process.poll() is None else []
            each.process.terminate()
            try:
                code = each.process.wait(each.service.grace.total_seconds())
            except subprocess.TimeoutExpired:
                each.process.kill()
                code = each.process.wait()
            _, left = psutil.wait_procs(family, timeout=10)
            for process in left:
                process.kill()
            yield each, code, left

    def _spawn(self, service: Service, container: str) -> ServiceProcess:
        environment = self._environment(service)
        log_path = self.folder / f"{container}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [_here(word, container) for word in service.command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        running = ServiceProcess(service, process, log_path, environment)
        if "service_completed_successfully" in self._conditions(service.name):
            assert process.wait(120) == 0, str(running)
        return running

    def _conditions(self, name: str) -> set[str]:
        return {each.waits_for[name] for each in self.composition.ours if name in each.waits_for}

    def _environment(self, service: Service) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        said = service.environment
        # Another service's name leads to where that listens.
        ports = {f"{name}:{_INSIDE}": at for name, at in self.addresses.items()}
        said = {name: ports.get(value, value) for name, value in said.items()}
        ours = {name for name, value in said.items() if value not in ports.values()}
        replaced = {name: value for name, value in self.replaced.items() if name in ours}
        return {**kept, "PATH": path, "HOME": str(self.folder), **said, **self.added, **replaced}

    def _wait_until_healthy(self, running: ServiceProcess) -> None:
        inside, said = _LISTENING[running.service.name]
        until(
            lambda: said.search(running.log) or running.process.poll() is not None, timeout_s=120, what=running.__str__
        )
        found = said.search(running.log)
        assert found, str(running)
        self.addresses[running.service.name] = found[1]
        words = [_here(word, running.log_path.stem) for word in running.service.health_command]
        check = [word.replace(inside, found[1]) if inside else word for word in words]
        assert not inside or check != running.service.health_command, (
            f"{running.service.name}: the check asks another address"
        )
        until(lambda: self._succeeds(check, running), timeout_s=120, what=running.__str__)

    def _succeeds(self, check: list[str], running: ServiceProcess) -> bool:
        done = subprocess.run(
            check, cwd=self.folder, env=running.environment, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0


def _here(word: str, container: str) -> str:
    """Put in what the container's own host name, and its own ports, would have been."""
    return word.replace("%h", container) if word != "--port=5555" else "--port=0"
