"""A `serve --processes N` beside a rig's own server, and clients of which it is known which process they reach."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Self

import psutil

from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import SERVER
from tests.support.extra_programs import log_of
from tests.support.waiting import PATIENCE_S, until
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from types import TracebackType

    from tests.support.system_rig import SystemRig


class RunningGroup:
    """The group's processes; use it as a context manager."""

    def __init__(self, rig: SystemRig, *, count: int, **settings: Any) -> None:  # noqa: ANN401 - settings of any type
        self._rig = rig
        self.count = count
        self._settings = {"grpc_bind": "127.0.0.1:0", **settings}
        self.log = log_of(rig, "group")

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.supervisor = subprocess.Popen(
                [*SERVER, "--processes", str(self.count)],
                env=variables({**self._rig.settings, "data_dir": self._rig.folder, **self._settings}),
                cwd=self._rig.folder / "run",
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.supervisor.stdout is not None
        #: The line that says that all of them serve.
        self.greeting = self.supervisor.stdout.readline()
        assert "serving gRPC" in self.greeting, self.log.read_text()
        self.address = self.greeting.split()[3]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.supervisor.poll() is None:
            self.supervisor.terminate()
        self.supervisor.wait(PATIENCE_S)
        assert self.supervisor.stdout is not None
        self.supervisor.stdout.close()

    def servers(self) -> list[int]:
        """Return the servers' process ids."""
        return [each.pid for each in psutil.Process(self.supervisor.pid).children()]

    def connect(self, token: str | None = None) -> tuple[WireClient, int]:
        """Return a client with a connection of its own, and the process that it reaches."""
        client = WireClient(self.address, token if token is not None else self._rig.token, is_alone=True)
        before = self._ports()
        client.wait_until_connected(timeout_s=PATIENCE_S)
        (port,) = self._ports() - before
        [server] = [pid for pid in self.servers() if port in _remote_ports(pid)]
        return client, server

    def connect_to_each(self, count: int | None = None, *, token: str | None = None) -> dict[int, WireClient]:
        """Return a client of each process, or of so many, by process id."""
        clients: dict[int, WireClient] = {}
        while len(clients) < (count if count is not None else self.count):
            client, server = self.connect(token)
            if server in clients:
                client.close()
            else:
                clients[server] = client
        return clients

    def wait_until_gone(self, pids: list[int]) -> None:
        """Wait until none of the processes is there."""
        until(lambda: not any(_lives(pid) for pid in pids), what="all processes have ended")

    def _ports(self) -> set[int]:
        """Return this process's own ports of its connections to the group."""
        theirs = int(self.address.rpartition(":")[2])
        # By the port alone: gRPC connects from IPv6 sockets, to mapped addresses.
        return {each.laddr.port for each in _connections(psutil.Process()) if each.raddr.port == theirs}


def _remote_ports(pid: int) -> set[int]:
    return {each.raddr.port for each in _connections(psutil.Process(pid))}


def _connections(process: psutil.Process) -> list[Any]:
    connections: list[Any] = process.net_connections(kind="tcp")
    return [each for each in connections if each.raddr]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
