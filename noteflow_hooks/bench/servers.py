"""More gRPC servers than the system's own: one with webhooks off over the same database, and one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noteflow_hooks.bench.surroundings import HOST
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.local.stack.programs import SERVER
from noteflow_hooks.local.stack.readiness import wait_until_serving
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as ``HOST:PORT``, and its process."""

    address: str
    pid: int


def own_server(stage: Stage) -> Server:
    """Return the system's own."""
    return Server(stage.system.grpc, stage.system.processes["server"])


def without_webhooks(stage: Stage) -> Server:
    """Return one with webhooks off, over the same database."""
    return stage.kept("a server without webhooks", lambda: _started_without_webhooks(stage))


def empty_server(stage: Stage) -> Server:
    """Return one whose only method does nothing."""
    process = stage.kept("an empty server", lambda: stage.process("empty_server"))
    return Server(f"{HOST}:{process.greeting}", process.pid)


def _started_without_webhooks(stage: Stage) -> Server:
    address = free_address()
    env = {f"{PREFIX}GRPC_BIND": address, f"{PREFIX}WEBHOOKS_ENABLED": "false"}
    program = stage.program("server-without-webhooks", SERVER, env=env)
    wait_until_serving(address, check=stage.check)
    stage.check()
    assert program.pid is not None  # noqa: S101 - checked on the line before
    return Server(address, program.pid)
