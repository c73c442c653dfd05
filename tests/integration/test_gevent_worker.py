"""What gevent has to replace in a worker's process before it counts: one call that blocks stops all its deliveries."""

from __future__ import annotations

import subprocess
import sys

from noteflow_hooks.crypto import generate_key

_PROGRAM = """
import sys
sys.argv = ["celery", "-A", "workers.app", "worker", "-P", "gevent"]
import celery
celery.maybe_patch_concurrency()
import workers.app
import kombu.utils.functional
print(kombu.utils.functional.sleep.__module__)
"""


def test_a_worker_that_waits_for_redis_lets_its_deliveries_go_on() -> None:
    """The wait that kombu makes between two tries is gevent's, or no result would be stored while Redis is away."""
    env = {
        "NOTEFLOW_HOOKS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "NOTEFLOW_HOOKS_REDIS_URL": "redis://127.0.0.1:1",
        "NOTEFLOW_HOOKS_SECRET_KEYS": generate_key(),
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.stdout.strip() == "gevent.hub", done.stderr
