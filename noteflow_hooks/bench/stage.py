"""The stage of the scenarios: the whole system as processes, a receiver, and connections to all of them.

What only some scenarios need is made when the first one asks for it, so that a single scenario starts quickly.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from noteflow_hooks.bench.processes import LineProcess
from noteflow_hooks.bench.surroundings import HOST, told, write_certificate
from noteflow_hooks.bench.tenants import Tenants
from noteflow_hooks.bench.usage import peak_mb
from noteflow_hooks.broker import publisher
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.stack import System
from noteflow_hooks.local.stack.background import until
from noteflow_hooks.local.stack.environment import GivenSettings, variables
from noteflow_hooks.local.stack.programs import Program
from noteflow_hooks.redis_url import RedisAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from noteflow_hooks.bench.tenants import Tenant
    from noteflow_hooks.broker.publisher import Publishers

T = TypeVar("T")

#: Worker processes, unless a scenario says otherwise: one for each core of the smallest useful machine.
WORKERS: Final = 2
#: Workspaces over which most scenarios spread their events, with one endpoint each.
WORKSPACES: Final = 50
#: The share of its events that a scenario makes in the warm-up.
_WARM_UP: Final = 0.15
_PATIENCE_S: Final = 120.0


class Stage:
    """A running system and its receiver. Use it from the main thread, inside :func:`open_stage`.

    Args:
        stack: Ends what is started here.
        folder: Holds everything; whoever made it removes it afterwards.
        scale: The factor for every scenario's counts.
        check: Called during every wait; it raises to break the wait off.
    """

    def __init__(self, stack: ExitStack, folder: Path, *, scale: float, check: Callable[[], None]) -> None:
        self._stack = stack
        self._folder = folder
        self._scale = scale
        self._check = check
        self._kept: dict[str, Any] = {}
        self._programs: list[Program] = []
        #: Whether the present measurements are discarded.
        self.is_warming_up = False
        #: The rate that callers in Python reached in this round, in events a second; None before it is measured.
        self.peak_per_s: float | None = None
        #: What the module ``against`` measured last.
        self.last_baseline: object = None
        #: The highest known peak of a worker's memory.
        self.worker_peak_mb = 0.0
        #: The certificate of the authority that signed the receiver's.
        self.ca_bundle = folder / "ca.pem"
        self.receiver = self.process("receiver", "--certificate", write_certificate(self.ca_bundle))
        self.system = stack.enter_context(System(folder))
        self.settings = told(self.ca_bundle)
        self.system.start(self.settings, workers=WORKERS, check=check)
        self.database = stack.enter_context(psycopg.connect(self.system.database_url, autocommit=True))
        self.tenants = self._tenants()
        self.publishers: Publishers = self.new_publishers()

    def check(self) -> None:
        """Raise if the run is to end: because the caller wants it, or because a process has died."""
        self._check()
        self.system.check()
        for program in self._programs:
            if program.pid is None:
                raise program.error(program.fate)

    def wait(self, ready: Callable[[], bool], *, what: str) -> None:
        """Wait until ``ready``; raise NoteFlowHooksError if that takes minutes."""
        patience_s = _PATIENCE_S * max(1.0, self._scale)
        if not until(ready, check=self.check, timeout_s=patience_s):
            raise NoteFlowHooksError(f"waited {patience_s:g} s in vain: {what}")

    def count(self, number: int) -> int:
        """Return how many events to measure with where full scale has ``number``: a multiple of the workspaces."""
        share = _WARM_UP if self.is_warming_up else 1.0
        return max(1, round(number * self._scale * share / WORKSPACES)) * WORKSPACES

    def size(self, number: int) -> int:
        """Return how many to make of what lasts the whole run, where full scale has ``number``; at least one."""
        return max(1, round(number * self._scale))

    def url(self, path: str, *, is_tls: bool = False) -> str:
        """Return the receiver's URL of a path."""
        plain, tls = self.receiver.greeting
        return f"https://{HOST}:{tls}{path}" if is_tls else f"http://{HOST}:{plain}{path}"

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """Return what ``make`` returned when this name was first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        found: T = self._kept[name]
        return found

    def workspaces(self, *, is_tls: bool = False) -> Sequence[Tenant]:
        """Return the workspaces with one endpoint each."""
        urls = (self.url(f"/ok/{number}", is_tls=is_tls) for number in range(WORKSPACES))
        return self.kept(f"workspaces, TLS {is_tls}", lambda: self.tenants.make_each(urls))

    def note_memory(self) -> None:
        """Note the workers' peaks of memory; call this before a worker ends, too: afterwards its peak can't be read."""
        pids = [pid for name, pid in self.system.processes.items() if name.startswith("worker-")]
        self.worker_peak_mb = max(self.worker_peak_mb, *map(peak_mb, pids))

    def process(self, module: str, *arguments: str) -> LineProcess:
        """Start a module of this package as a :class:`LineProcess`."""
        process = LineProcess(f"{__package__}.{module}", *arguments, check=self._check)
        self._stack.callback(process.close)
        return process

    def file(self, name: str, content: bytes) -> Path:
        """Write a file and return its path."""
        path = self._folder / name
        path.write_bytes(content)
        return path

    def program(self, name: str, command: Sequence[str], *, env: Mapping[str, Any]) -> Program:
        """Start another program, with the system's settings and these variables."""
        urls = {"database_url": self.system.database_url, "redis_url": self.system.redis_url}
        run = self._folder / "run"
        program = Program(
            name,
            command,
            env={**variables({**self.settings, **urls, "data_dir": self._folder, "run_dir": run}), **env},
            folder=run,
            log_path=self._folder / "logs" / f"{name}.log",
        )
        # It need not finish what it does.
        self._stack.callback(program.stop, patience_s=0)
        self._programs.append(program)
        program.start()
        return program

    def let_go(self, program: Program, *, patience_s: float) -> None:
        """End a program once it has finished what it does; :meth:`check` no longer expects it to run."""
        program.stop(patience_s=patience_s)
        self._programs.remove(program)

    def new_publishers(self) -> Publishers:
        """Connect publishers like the server's, which wake the workers for events; return them."""
        self.publishers = publisher.connect(RedisAddress.parse(self.system.redis_url))
        self._stack.callback(self.publishers.close)
        return self.publishers

    def _tenants(self) -> Tenants:
        settings = GivenSettings(database_url=self.system.database_url, secret_keys=self.settings["secret_keys"])
        tenants = Tenants(settings)
        self._stack.callback(tenants.close)
        return tenants


@contextmanager
def open_stage(folder: Path, *, scale: float, check: Callable[[], None]) -> Iterator[Stage]:
    """Start everything and end it again."""
    with ExitStack() as stack:
        yield Stage(stack, folder, scale=scale, check=check)
