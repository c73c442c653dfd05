"""The real PostgreSQL on a Unix socket of its own: no TCP port, no password, reachable by this user alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from noteflow_hooks.local.children.process import FolderLock, ServerProcess
from noteflow_hooks.local.private import make_folder
from noteflow_hooks.local.servers import cluster

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

#: The superuser, and the database that is made for it.
NAME: Final = "noteflow"

# Linux allows a socket's path 107 bytes, macOS 103.
_SOCKET_PATH_MAX: Final = 100
_SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # An error's detail quotes the refused row, with an endpoint's path and query, which must not be logged.
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """A PostgreSQL server with its data in a folder.

    It survives a `kill -9` of this process. The next start on the folder first ends it, and nothing that was committed
    is lost.

    Args:
        data_dir: Holds the cluster (`data`), the lock and the log; it is made, for this user alone, if it is missing.
        log_path: Where the server's log goes instead of `postgres.log` in the folder.
        settings: Server settings in addition to our own, or in place of them, as in postgresql.conf.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = data_dir.resolve()
        self._cluster = self._folder / "data"
        self._log_path = log_path if log_path is not None else self._folder / "postgres.log"
        self._settings = {**_SETTINGS, **(settings if settings is not None else {})}
        self._lock = FolderLock(self._folder)
        self._server = ServerProcess("PostgreSQL", log_path=self._log_path)
        self._sockets = self._cluster if _fits_a_socket(self._cluster) else _short_folder()

    @property
    def url(self) -> str:
        """The database's URL for SQLAlchemy; it stays the same over every restart of this object.

        Without `+psycopg` it is a URL for libpq and `psql`.
        """
        folder = quote(str(self._sockets), safe="")
        return f"postgresql+psycopg://{NAME}@/{NAME}?host={folder}&port={cluster.PORT}"

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster while it runs."""
        return self._server.pid

    def start(self, *, timeout_s: float = 30) -> None:
        """Start the server, on a new cluster where there is none, and return once it takes connections.

        Raises:
            EmbeddedServerError: with the end of the server's log, where it has one.
        """
        if self.pid is not None:
            return
        make_folder(self._folder)
        self._lock.acquire()
        try:
            self._prepare(timeout_s)
            self._launch(timeout_s)
            self._make_database()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, timeout_s: float = 5) -> None:
        """End the server: it cuts connections and writes everything to disk. When time is up, it ends at once.

        Nothing committed is lost even then: the next start recovers it from the write-ahead log.
        """
        self._server.stop([(signal.SIGINT, timeout_s), (signal.SIGQUIT, 2)])
        if self._sockets != self._cluster:
            shutil.rmtree(self._sockets, ignore_errors=True)
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self, timeout_s: float) -> None:
        if self._cluster.exists():
            cluster.check(self._cluster)
            cluster.clear_leftovers(self._cluster)
        else:
            cluster.make(self._cluster, owner=NAME, log_path=self._log_path, timeout_s=timeout_s)
        if self._sockets != self._cluster:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets.mkdir(mode=0o700)

    def _launch(self, timeout_s: float) -> None:
        command = [str(cluster.binary("postgres")), "-D", str(self._cluster), *self._options()]
        env = cluster.environment()
        self._server.spawn(cluster.as_ordinary_user(command), env=env, cwd=self._cluster)
        if not self._server.wait_until(self._answers, timeout_s=timeout_s):
            raise cluster.failure(self._server, "ended while it started")

    def _options(self) -> list[str]:
        ours = {
            "listen_addresses": "",
            "port": str(cluster.PORT),
            "unix_socket_directories": f'"{self._sockets}"',
            "unix_socket_permissions": "0700",
        }
        return [part for name, value in {**self._settings, **ours}.items() for part in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self._sockets),
            port=cluster.PORT,
            user=NAME,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )


def _fits_a_socket(folder: Path) -> bool:
    """Whether the path of a socket in the folder is short enough, and has nothing that libpq reads as a list."""
    path = str(folder / cluster.SOCKET)
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX and not set(path) & set(',"')


def _short_folder() -> Path:
    """Return a path for a socket folder that nobody could guess."""
    ours = Path(tempfile.gettempdir(), f"{cluster.SHORT_PREFIX}{secrets.token_hex(6)}")
    return ours if _fits_a_socket(ours) else Path("/tmp", ours.name)  # noqa: S108 - the folder is made 0700
