"""The purge task: one call of it sends the next while there is more to remove, for a while."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from noteflow_hooks.maintenance.retention import Purged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


class Runs:
    """Takes note of which tasks have run."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, name: str, *, took: timedelta) -> None:  # noqa: ARG002 - the port's
        self.noted.append(name)


@dataclass
class Parts:
    """A worker's parts, of which a purge needs three; it always comes to the same."""

    done: Purged
    task_runs: Runs = field(default_factory=Runs)
    #: How often people were to be told of certificates.
    certificates: int = 0

    def tell_certificates(self) -> int:
        self.certificates += 1
        return 0

    def write_digests(self) -> int:
        return 0

    def purge(self) -> Purged:
        return self.done


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, with an empty queue."""
    with Redis.from_url(redis_url) as client:
        client.delete("maintenance")
        yield client


def call(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: float, more: bool) -> str:
    """Run the task as a worker does, over parts that have removed three events in six seconds, and rest for thirty."""
    done = Purged(events=3)
    done.more, done.took, done.rest = more, timedelta(seconds=6), timedelta(seconds=30)
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
    """It comes after the rest, with so much less time left."""
    before = datetime.now(UTC)
    assert call(tasks, monkeypatch, 100.0, more=True) == "3 events"
    [message] = queued(broker)
    assert (message["task"], message["args"]) == ("noteflow.hooks.purge", [64.0])
    assert before <= datetime.fromisoformat(message["eta"]) - timedelta(seconds=30) <= datetime.now(UTC)


@pytest.mark.parametrize(("left_s", "more"), [(100.0, False), (36.0, True), (0.5, True)])
def test_a_row_of_calls_comes_to_an_end(
    tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch, left_s: float, *, more: bool
) -> None:
    """With nothing left to remove, and when beat is about to call anyway: else rows of calls would add up."""
    call(tasks, monkeypatch, left_s, more=more)
    assert queued(broker) == []


def test_no_message_makes_a_row_without_end(tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to Redis may say how much time is left; an hour is the most."""
    call(tasks, monkeypatch, float("inf"), more=True)
    assert [each["args"] for each in queued(broker)] == [[3564.0]]


def test_a_row_lasts_for_a_period(tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call by beat has the time until beat calls again: a minute."""
    call(tasks, monkeypatch, more=True)
    assert [each["args"] for each in queued(broker)] == [[24.0]]


def test_each_call_has_people_told_of_certificates(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end in days, and it comes every hour."""
    made = Parts(Purged())
    monkeypatch.setattr(tasks, "parts", lambda: made)
    tasks.purge()
    assert made.certificates == 1
    assert made.task_runs.noted == ["purge"]
