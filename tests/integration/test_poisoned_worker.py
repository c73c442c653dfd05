"""A worker under gevent, whose loop is another than that of threads, fed with poison."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from redis import Redis

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.servers import EmbeddedValkey
from noteflow_hooks.local.stack.environment import variables
from tests.support.poison_messages import POISON, a_message
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from pathlib import Path


def test_no_poison_ends_a_worker_under_gevent(tmp_path: Path, database_url: str) -> None:
    """All of it is consumed, and the task behind it runs."""
    log = tmp_path / "log"
    with EmbeddedValkey(tmp_path / "valkey") as server, Redis.from_url(server.url) as broker, log.open("wb") as output:
        settings = {"database_url": database_url, "redis_url": server.url, "secret_keys": generate_key()}
        command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-P", "gevent", "-l", "INFO"]
        worker = subprocess.Popen(command, env=variables(settings), cwd=tmp_path, stdout=output, stderr=output)
        try:
            broker.lpush("deliver", *POISON.values())
            broker.lpush("deliver", json.dumps(a_message(task="noteflow.hooks.sweep")))
            until(lambda: b"sweep" in log.read_bytes() and b"taken back" in log.read_bytes(), what="the sweep has run")
            assert worker.poll() is None
            assert broker.llen("deliver") == 0
            assert b"Unrecoverable error" not in log.read_bytes()
        finally:
            worker.terminate()
            worker.wait(timeout=PATIENCE_S)
