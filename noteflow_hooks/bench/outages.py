"""Freezes or kills Redis while a block runs; afterwards everything works as before."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.calls import publish
from noteflow_hooks.bench.control import await_workers
from noteflow_hooks.bench.publishing import Stream
from noteflow_hooks.bench.traffic import settle
from noteflow_hooks.local.stack.background import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.bench.stage import Stage
    from noteflow_hooks.bench.tenants import Tenant

#: An event that comes so soon came by its wake-up; the relay is slower.
_BY_WAKE_UP_S: Final = 0.5


@contextmanager
def redis_well(_: Stage, __: Tenant) -> Iterator[None]:
    """Leave Redis as it is."""
    yield


@contextmanager
def redis_frozen(stage: Stage, tenant: Tenant) -> Iterator[None]:
    """Freeze Redis: connections stay open, and nothing is answered."""
    pid = stage.system.processes["valkey"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
    _until_all_flows(stage, tenant)


@contextmanager
def redis_dead(stage: Stage, tenant: Tenant) -> Iterator[None]:
    """Kill Redis; afterwards start it again, empty, at the same address."""
    valkey = next(part for part in stage.system.parts if part.name == "valkey")
    os.kill(stage.system.processes["valkey"], signal.SIGKILL)
    stage.wait(lambda: valkey.pid is None, what="Redis dies")
    try:
        yield
    finally:
        valkey.start()
    stage.new_publishers()
    _until_all_flows(stage, tenant)


def _until_all_flows(stage: Stage, tenant: Tenant) -> None:
    """Wait until the workers and the server use Redis again."""
    await_workers(stage, stage.system.redis_url)
    settle(stage)

    def comes_by_wake_up() -> bool:
        publish(stage, [Stream([tenant.token], 1)])
        return until(lambda: stage.receiver.ask("count")["posts"] > 0, check=stage.check, timeout_s=_BY_WAKE_UP_S)

    stage.wait(comes_by_wake_up, what="an event comes as soon as it is published")
    settle(stage)
