"""Replaces the system's workers while a block runs, with ones under another pool or farther from the servers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.bench.control import await_workers
from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.traffic import burst, settle
from noteflow_hooks.local.stack.programs import PATIENCE_S, WORKER_POOL, worker_command
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from noteflow_hooks.bench.stage import Stage

#: New workers make their connections during these first events, which are not measured.
_FIRST_EVENTS: Final = 500


@contextmanager
def other_workers(
    stage: Stage, *, pool: Sequence[str] = WORKER_POOL, settings: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Have as many other workers work in place of the system's own, with this pool and these settings."""
    with without_own_workers(stage), crew(stage, "other-worker", pool=pool, settings=settings):
        warm_up(stage)
        yield


@contextmanager
def without_own_workers(stage: Stage) -> Iterator[None]:
    """End the system's own workers, and start them again behind the block."""
    _end_own(stage)
    try:
        yield
    finally:
        _start_own(stage)


@contextmanager
def crew(
    stage: Stage,
    name: str,
    *,
    pool: Sequence[str] = WORKER_POOL,
    options: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
    redis_url: str | None = None,
) -> Iterator[list[int]]:
    """Have as many workers work as the system has, and no others; yield their process ids.

    Options and settings go before the usual ones. ``variables`` are others of the environment. With a ``redis_url``
    they take messages from there.
    """
    if redis_url is not None:
        settings = {**(settings or {}), "redis_url": redis_url}
    env = {f"{PREFIX}{name.upper()}": str(value) for name, value in (settings or {}).items()} | dict(variables or {})
    commands = [(*worker_command(number, pool=pool), *options) for number in range(1, WORKERS + 1)]
    programs = [stage.program(f"{name}-{number}", command, env=env) for number, command in enumerate(commands, 1)]
    try:
        await_workers(stage, redis_url or stage.system.redis_url)
        yield [each.pid for each in programs if each.pid is not None]
    finally:
        for program in programs:
            stage.let_go(program, patience_s=PATIENCE_S)


def warm_up(stage: Stage) -> None:
    """Have new workers make their connections now, not during a measurement."""
    burst(stage, stage.workspaces(), events=stage.count(_FIRST_EVENTS))


def _end_own(stage: Stage) -> None:
    settle(stage)
    stage.note_memory()
    for number in range(1, WORKERS + 1):
        stage.system.end_worker(number)


def _start_own(stage: Stage) -> None:
    for number in range(1, WORKERS + 1):
        stage.system.start_worker(number)
    await_workers(stage, stage.system.redis_url)
    warm_up(stage)
