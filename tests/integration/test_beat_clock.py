"""beat's wall clock is set back: relay and sweep are called as often as before."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from redis import Redis

from noteflow_hooks.broker.names import RELAY_TASK, SWEEP_TASK
from noteflow_hooks.local.servers import EmbeddedValkey
from tests.support import shifted_clock
from tests.support.celery_program import celery_program
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIODS: Final = {"relay_every_s": "0.2", "sweep_every_s": "0.2"}
BACK_S: Final = 600


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[Redis, str]]:
    """A broker of the test's own, that nobody takes from, and its URL."""
    with EmbeddedValkey(tmp_path / "valkey") as server, Redis.from_url(server.url) as client:
        yield client, server.url


def expirations(client: Redis, task: str) -> list[datetime]:
    """Return until when each call of the task is wanted: by beat's own clock, a fixed time after it was called."""
    headers = [json.loads(each)["headers"] for each in client.lrange("maintenance", 0, -1)]
    return [datetime.fromisoformat(each["expires"]) for each in headers if each["task"] == task]


def set_clock(offset: Path, seconds: int) -> None:
    written = offset.with_suffix(".new")
    written.write_text(str(seconds))
    written.replace(offset)


def test_a_clock_that_is_set_back_holds_up_no_relay_and_no_sweep(tmp_path: Path, broker: tuple[Redis, str]) -> None:
    """By ten minutes, while beat runs: the next calls come with dates that are earlier than the last ones."""
    client, url = broker
    offset = tmp_path / "offset"
    set_clock(offset, 0)
    settings = {"database_url": "postgresql://u@127.0.0.1:1/x", "redis_url": url, **PERIODS}
    start, extra = (str(Path(shifted_clock.__file__)),), {shifted_clock.VARIABLE: str(offset)}
    with celery_program(tmp_path, "beat", "-l", "INFO", settings=settings, start=start, extra=extra) as beat:
        for task in (RELAY_TASK, SWEEP_TASK):
            until(lambda: expirations(client, task), what=f"{task} is called")  # noqa: B023 - called at once
        first = min(expirations(client, RELAY_TASK))
        set_clock(offset, -BACK_S)
        for task in (RELAY_TASK, SWEEP_TASK):
            until(lambda: sum(each < first for each in expirations(client, task)) >= 5, what=f"{task} goes on")  # noqa: B023 - as above
        assert beat.is_alive
