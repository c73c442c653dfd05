"""The purge task: one call of it sends the next while there is more to remove, and only so many in a row."""

from __future__ import annotations

import base64
import importlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from noteflow_hooks.retention import Purged
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


@dataclass
class Parts:
    """A worker's parts, of which a purge needs one; it always comes to the same."""

    done: Purged

    def purge(self) -> Purged:
        return self.done


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, with an empty queue."""
    with Redis.from_url(redis_url) as client:
        client.delete("maintenance")
        yield client


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> ModuleType:
    """The worker's module, which reads its settings as it is imported."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "REDIS_URL": redis_url}.items():
        monkeypatch.setenv(PREFIX + name, value)
    return importlib.import_module("workers.tasks")


def call(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: int, more: bool) -> str:
    """Run the task as a worker does, over parts that have removed three events in this call."""
    done = Purged(events=3)
    done.more, done.rest = more, timedelta(seconds=30)
    monkeypatch.setattr(tasks, "parts", lambda: Parts(done))
    said: str = tasks.purge(*arguments)
    return said


def queued(broker: Redis) -> list[dict[str, Any]]:
    """Return what waits in the queue: each message's task, arguments and earliest time."""
    messages: Any = broker.lrange("maintenance", 0, -1)
    found = []
    for raw in messages:
        message = json.loads(raw)
        arguments, *_ = json.loads(base64.b64decode(message["body"]))
        found.append({"task": message["headers"]["task"], "args": arguments, "eta": message["headers"]["eta"]})
    return found


def test_while_there_is_more_the_next_call_follows(
    tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for what was left of the last rest, and is one call fewer from the end."""
    before = datetime.now(UTC)
    assert call(tasks, monkeypatch, 3, more=True) == "3 events"
    [message] = queued(broker)
    assert (message["task"], message["args"]) == ("noteflow.hooks.purge", [2])
    assert timedelta(seconds=29) < datetime.fromisoformat(message["eta"]) - before < timedelta(seconds=60)


@pytest.mark.parametrize(("calls", "more"), [(3, False), (1, True), (0, True)])
def test_a_row_of_calls_comes_to_an_end(
    tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch, calls: int, *, more: bool
) -> None:
    """With nothing left to remove, and when beat is about to call anyway: else rows of calls would add up."""
    call(tasks, monkeypatch, calls, more=more)
    assert queued(broker) == []


def test_a_row_lasts_no_longer_than_a_period(tasks: ModuleType) -> None:
    """A minute has room for twelve calls of five seconds."""
    assert tasks.PURGES == 12
