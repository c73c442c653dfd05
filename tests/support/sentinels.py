"""A real Sentinel: the same program as the server, started for that."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import redis

from noteflow_hooks.local.servers.valkey import _binary
from noteflow_hooks.local.stack.ports import free_address
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def sentinel(folder: Path, *watches: str) -> Iterator[str]:
    """Run one with these lines of configuration, and yield its address."""
    address = free_address()
    host, _, port = address.rpartition(":")
    config = folder / "sentinel.conf"
    config.write_text("\n".join([f"bind {host}", f"port {port}", f"dir {folder}", *watches, ""]))
    with (folder / "sentinel.log").open("wb") as log:
        process = subprocess.Popen([_binary(), str(config), "--sentinel"], stdout=log, stderr=log)
    try:
        until(lambda: _answers(host, int(port)), what="the Sentinel answers")
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _answers(host: str, port: int) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(host=host, port=port) as client:
        return bool(client.ping())
    return False
