"""What a worker's process has no use for is not there: each library takes megabytes of every worker."""

from __future__ import annotations

import subprocess
import sys

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.settings import PREFIX

#: The whole of `python -m workers`, and then what the sweep does besides delivering.
_PROGRAM = """
import sys
sys.argv = ["workers", "worker", "-P", "gevent"]
import workers.__main__, workers.tasks, celery.apps.worker, celery.concurrency.gevent
parts = workers.tasks.parts()
print(parts.end_abandoned(), parts.advance_replays(), parts.tell_breakers(), file=sys.stderr)
parts.close()
found = [name for name, module in sys.modules.items() if module is not None]
print(*{name.partition(".")[0] for name in found}, *(n for n in found if n == "sqlalchemy.orm"))
"""
USELESS = {
    "alembic", "charset_normalizer", "click_repl", "flower", "grpc", "jsonschema_rs", "opentelemetry",
    "prometheus_client", "prompt_toolkit", "pygments", "sqlalchemy.orm", "tornado", "yaml",
}  # fmt: skip


def test_a_worker_imports_nothing_that_it_has_no_use_for(clean_database: str) -> None:
    """Neither what Celery's other commands need, nor what the server needs, nor what only rare work needs."""
    env = {
        f"{PREFIX}DATABASE_URL": clean_database,
        f"{PREFIX}REDIS_URL": "redis://127.0.0.1:1",
        f"{PREFIX}SECRET_KEYS": generate_key(),
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.stderr == "0 0 0\n"
    imported = set(done.stdout.split())
    assert {"celery", "gevent", "sqlalchemy"} <= imported
    assert imported & USELESS == set()
    # Only the server checks by schemas.
    assert "jsonschema_rs" not in imported
