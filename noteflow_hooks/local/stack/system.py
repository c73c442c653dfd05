"""Starts and stops the whole system over one folder, as much of it at once as possible."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from noteflow_hooks import bootstrap
from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey
from noteflow_hooks.local.stack.background import in_background, result_of, until
from noteflow_hooks.local.stack.databases import DatabasePart
from noteflow_hooks.local.stack.environment import GivenSettings, variables
from noteflow_hooks.local.stack.home import Home
from noteflow_hooks.local.stack.identity import ensure_identity
from noteflow_hooks.local.stack.programs import BEAT, DASHBOARD, PATIENCE_S, SERVER, Program, worker_command
from noteflow_hooks.local.stack.readiness import wait_until_listening, wait_until_serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from noteflow_hooks.local.stack.identity import Identity
    from noteflow_hooks.local.stack.supervisor import Part

#: How long a stop waits for a start that is under way. Such a start takes no longer than initdb.
_START_UNDER_WAY_S: Final = 5.0
_UNSAFE: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def _nothing() -> None:
    """Do nothing, so that a start goes on."""


class System:
    """PostgreSQL, Valkey, the gRPC server, workers and beat. Use it from the main thread.

    Args:
        folder: Holds the data and the logs of one system at a time; it is made, for this user alone, if it is missing.
        throwaway: Whether its data may be lost at the end. Then it waits neither for disks nor for work under way.
    """

    def __init__(self, folder: Path, *, throwaway: bool = False) -> None:
        self._home = home = Home(folder)
        self._patience_s = 0.0 if throwaway else PATIENCE_S
        self._settings: Mapping[str, Any] = {}
        self._postgres = EmbeddedPostgres(
            home.folder / "postgres", log_path=home.log("postgres"), settings=_UNSAFE if throwaway else None
        )
        self._valkey = EmbeddedValkey(home.folder / "valkey", log_path=home.log("valkey"))
        self._starts: list[Future[Any]] = []
        self._programs: list[Program] = []
        self._identity: Identity | None = None

    @property
    def grpc(self) -> str:
        """The gRPC server's `host:port`."""
        return str(self._settings["grpc_bind"])

    @property
    def dashboard(self) -> str | None:
        """The dashboard's `host:port`; None where there is none."""
        has_one = any(program.name == "dashboard" for program in self._programs)
        return str(self._settings["dashboard_bind"]) if has_one else None

    @property
    def database_url(self) -> str:
        """The database, in the form that `psql` and psycopg take too."""
        return self._postgres.url.replace("+psycopg", "")

    @property
    def redis_url(self) -> str:
        """The broker's URL, with its password."""
        return self._valkey.url

    @property
    def identity(self) -> Identity:
        """Who may call the server; known once the system has started."""
        if self._identity is None:
            raise RuntimeError("the system has not started")
        return self._identity

    @property
    def parts(self) -> Sequence[Part]:
        """All processes that were started."""
        return [*self._databases, *self._programs]

    @property
    def processes(self) -> dict[str, int]:
        """The pids of the running parts, by name."""
        return {part.name: part.pid for part in self.parts if part.pid is not None}

    def take_folder(self) -> None:
        """Take the folder before the start, to read what an earlier run kept; raise if another run has it."""
        self._home.take()

    def start(
        self,
        settings: Mapping[str, Any],
        *,
        workers: int = 1,
        kept: Identity | None = None,
        dashboard_link: Path | None = None,
        check: Callable[[], None] = _nothing,
    ) -> None:
        """Start everything and return once the server serves.

        ``settings`` are the programs' settings by their names; `grpc_bind` and `secret_keys` are needed.
        ``kept`` is the identity of an earlier run. With ``dashboard_link``, where the link that signs in once will be,
        there is a dashboard, at `dashboard_bind`. ``check`` is called again and again, and raises to break the start
        off.
        """
        self._home.take()
        self._settings = settings

        def attentive() -> None:
            check()
            self.check()

        database = in_background(lambda: self._prepare_database(kept))
        broker = in_background(self._valkey.start)
        self._starts = [database, broker]
        result_of(broker, check=check)
        # They start while the database is still being made: they don't need it before the first message.
        for number in range(1, workers + 1):
            self.start_worker(number)
        self._identity = result_of(database, check=attentive)
        self._run("server", SERVER)
        self._run("beat", BEAT)
        if dashboard_link is not None:
            self._run_dashboard(dashboard_link)
        wait_until_serving(self.grpc, check=attentive)
        if dashboard_link is not None:
            wait_until_listening(str(settings["dashboard_bind"]), check=attentive)

    def start_worker(self, number: int) -> None:
        """Start one more worker, with that number. It is not ready at once."""
        self._run(_worker(number), worker_command(number))

    def end_worker(self, number: int) -> None:
        """End that worker once it has finished what it does. :meth:`check` no longer expects it to run."""
        for program in [each for each in self._programs if each.name == _worker(number)]:
            program.stop(patience_s=self._patience_s)
            self._programs.remove(program)

    def check(self) -> None:
        """Raise for a program that has ended, with the end of its log."""
        for program in self._programs:
            if program.pid is None:
                raise program.error(program.fate)

    def stop(self) -> None:
        """End everything: first all programs at once, since none needs another; then the databases that they use."""
        until(lambda: all(start.done() for start in self._starts), check=_nothing, timeout_s=_START_UNDER_WAY_S)
        self._expect_refusals()
        for start in self._starts:
            start.add_done_callback(self._expect_refusals)
        _all_at_once(partial(program.stop, patience_s=self._patience_s) for program in self._programs)
        _all_at_once(partial(part.stop, patience_s=self._patience_s / 2) for part in self._databases)
        self._home.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _databases(self) -> Sequence[DatabasePart]:
        named = (("postgres", self._postgres), ("valkey", self._valkey))
        return [DatabasePart(name, server, log_path=self._home.log(name)) for name, server in named]

    def _expect_refusals(self, *_: object) -> None:
        """Have a start that is cut short tell of no outage: its database ends because we end it."""
        DATABASE.is_ours = not all(start.done() for start in self._starts)

    def _prepare_database(self, kept: Identity | None) -> Identity:
        self._postgres.start()
        settings = GivenSettings(database_url=self._postgres.url)
        bootstrap.migrate(settings)
        return ensure_identity(settings, kept)

    def _run_dashboard(self, link: Path) -> None:
        own = {name: value for name, value in self._settings.items() if name.startswith(("dashboard_", "log_"))}
        self._run("dashboard", (*DASHBOARD, "--server", self.grpc, "--link-file", str(link.resolve())), own)

    def _run(self, name: str, command: Sequence[str], settings: Mapping[str, Any] | None = None) -> None:
        urls = {"database_url": self.database_url, "redis_url": self.redis_url, "data_dir": self._home.folder}
        whole = {"run_dir": self._home.run, **self._settings, **urls}
        program = Program(
            name,
            command,
            env=variables(settings if settings is not None else whole),
            folder=self._home.run,
            log_path=self._home.log(name),
        )
        self._programs.append(program)
        program.start()


def _worker(number: int) -> str:
    return f"worker-{number}"


def _all_at_once(calls: Iterable[Callable[[], None]]) -> None:
    """Make all calls at once; when all are done, raise the first error."""
    futures = [in_background(call) for call in calls]
    until(lambda: all(future.done() for future in futures), check=_nothing)
    for future in futures:
        future.result()
