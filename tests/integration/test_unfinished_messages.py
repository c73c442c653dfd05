"""What becomes of messages that a worker has taken and not begun, when it ends or loses Redis."""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from kombu import Connection, Exchange, Queue
from redis import Redis

from noteflow_hooks.local.servers import EmbeddedValkey
from tests.support.poison_messages import a_message
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

QUEUE = Queue("deliver", Exchange(""), routing_key="deliver")


@contextmanager
def holding_one(url: str) -> Iterator[Any]:
    """Offer a channel that has taken the one message there was, and has not begun with it."""
    with Redis.from_url(url) as broker:
        broker.lpush("deliver", json.dumps(a_message([])))
    options = {"ack_emulation": False, "max_retries": 1, "interval_start": 0, "interval_max": 0}
    with Connection(url, transport="workers.transport:Transport", transport_options=options) as connection:
        channel: Any = connection.channel()
        bound = QUEUE(channel)
        until(lambda: bound.get(no_ack=False) is not None, what="the message is taken")
        yield channel


def test_what_was_not_begun_goes_back(redis_url: str) -> None:
    """Another worker takes it."""
    with Redis.from_url(redis_url) as broker, holding_one(redis_url) as channel:
        assert broker.llen("deliver") == 0
        channel.close()
        assert broker.llen("deliver") == 1
        broker.delete("deliver")


def test_what_can_not_go_back_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says so, and no file of it is left in the system's temporary folder."""
    kept = tmp_path / "temporary"
    kept.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    server = EmbeddedValkey(tmp_path / "valkey")
    with (
        caplog.at_level(logging.INFO, logger="noteflow_hooks.broker.kombu_internals"),
        server,
        holding_one(server.url) as channel,
    ):
        server.stop()
        with closing(channel):
            pass
    assert list(kept.iterdir()) == []
    assert "1 messages could not be put back" in caplog.text
