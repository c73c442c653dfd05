"""What processes of ours put on standard error: records, one a line, whoever wrote them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.crypto import generate_key
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.local.stack.programs import BEAT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORKER: Final = (sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-P", "solo", "-l", "DEBUG")
#: Nobody listens there, so that Celery says where it can't connect to, and with what error.
NOWHERE: Final[dict[str, object]] = {
    "database_url": "postgresql://u:canary@127.0.0.1:1/x",
    "redis_url": "redis://user:canary@127.0.0.1:1/0",
    "secret_keys": generate_key(),
    "relay_every_s": 0.1,
}


def in_a_process(script: str) -> tuple[int, list[dict[str, Any]]]:
    """Run it where logs are set up as `serve` does; return its exit code and the records of its standard error."""
    code = f"from noteflow_hooks import logs\nlogs.configure('json')\n{script}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    return ended.returncode, [json.loads(line) for line in ended.stderr.splitlines()]


def test_what_nobody_catches_is_a_record_too() -> None:
    """An error that ends a thread, a warning, and the error that ends the process, whose exit code stays."""
    code, entries = in_a_process(
        "import threading, warnings\n"
        "def fail(): raise ValueError('in a thread https://h.example/canary')\n"
        "thread = threading.Thread(target=fail)\n"
        "thread.start(); thread.join()\n"
        "warnings.warn('old')\n"
        "raise RuntimeError('at https://h.example/canary')"
    )
    assert code == 1
    assert [(each["level"], each["logger"]) for each in entries] == [
        ("ERROR", "noteflow_hooks.logs"),
        ("WARNING", "py.warnings"),
        ("CRITICAL", "noteflow_hooks.logs"),
    ]
    assert entries[0]["exception"].endswith("ValueError: in a thread https://h.example/…")
    assert entries[2]["exception"].endswith("RuntimeError: at https://h.example/…")


def test_a_library_that_tells_paths_is_not_heard() -> None:
    """urllib3 logs each request's path at DEBUG and what it tries again at WARNING; what it raises is redacted."""
    _, entries = in_a_process(
        "import logging, urllib3\n"
        "logging.getLogger().setLevel(logging.DEBUG)\n"
        "try: urllib3.PoolManager(retries=1).request('GET', 'http://127.0.0.1:9/canary?key=canary')\n"
        "except urllib3.exceptions.HTTPError: logging.getLogger().exception('failed')\n"
    )
    assert [each["logger"] for each in entries] == ["root"]
    assert "exceeded with url: /…" in entries[0]["exception"]
    assert "canary" not in entries[0]["exception"]


@pytest.mark.parametrize("command", [WORKER, BEAT], ids=["worker", "beat"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_celery_logs_as_we_do(tmp_path: Path, command: Sequence[str], log_format: str) -> None:
    """A worker, at DEBUG too, and beat: their own lines are records in the format, without the broker's password."""
    log = tmp_path / "log"
    with log.open("w") as file:
        environment = variables({**NOWHERE, "log_format": log_format})
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=file, stderr=file)
    try:
        until(lambda: "Redis refuses" in log.read_text(), what="it can't connect")
    finally:
        process.kill()
        process.wait(timeout=60)
    said = log.read_text()
    assert "127.0.0.1:1" in said
    assert str(NOWHERE["secret_keys"]) not in said
    assert "canary" not in said
    if log_format == "json":
        assert all(json.loads(line)["message"] for line in said.splitlines())
    else:
        assert re.search(r"^\S+Z (ERROR|WARNING) \S+ \[\d+\] .*refused", said, re.MULTILINE)
