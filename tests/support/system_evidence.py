"""What a running system can be made to show of itself: its tables, what is in its Redis and passes it, and Flower."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import psutil
import redis
import requests
from celery import Celery
from psycopg import sql

from noteflow_hooks.local.stack.environment import variables
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    import psycopg

    from tests.support.system_rig import SystemRig

_PAGES: Final = (
    "/",
    "/workers",
    "/tasks",
    "/broker",
    "/metrics",
    "/api/tasks?limit=1000",
    "/api/workers?refresh=1",
    "/api/queues/length",
    "/api/task/types",
)
_VISIT: Final = re.compile(r"Visit me at (http://127\.0\.0\.1:\d+)")


def tables(database: psycopg.Connection) -> bytes:
    """Return all rows of all our tables as a dump has them: bytes in hex."""
    names = database.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'noteflow'")
    return b"\n".join(_copied(database, name) for (name,) in names.fetchall())


def _copied(database: psycopg.Connection, table: str) -> bytes:
    statement = sql.SQL("COPY noteflow.{} TO STDOUT").format(sql.Identifier(table))
    with database.cursor().copy(statement) as copy:
        return b"".join(map(bytes, copy))


def keys(client: redis.Redis) -> bytes:
    """Return every key of a Redis with all that it holds."""
    return b"\n".join(each + b" " + _held(client, each) for each in client.scan_iter(count=1000))


def _held(client: redis.Redis, key: bytes) -> bytes:
    # Not DUMP, which compresses: what is in there would not be found.
    held: object
    match client.type(key):
        case b"list":
            held = client.lrange(key, 0, -1)
        case b"set":
            held = client.smembers(key)
        case b"zset":
            held = client.zrange(key, 0, -1)
        case b"hash":
            held = client.hgetall(key)
        case _:
            held = client.get(key)
    return repr(held).encode()


def command_lines(processes: Iterable[int]) -> bytes:
    """Return what `ps` shows to everybody of these processes and all that they have started."""
    lines = []
    for pid in processes:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(" ".join([each.name(), *each.cmdline()]))
    return "\n".join(lines).encode()


def inspected(redis_url: str) -> bytes:
    """Return what workers answer to each question of `celery inspect`."""
    app = Celery(broker=redis_url, set_as_current=False)
    asked = app.control.inspect(timeout=PATIENCE_S, limit=1)
    answers = [
        asked.active(),
        asked.scheduled(),
        asked.reserved(),
        asked.registered("args", "kwargs"),
        asked.conf(with_defaults=True),
        asked.stats(),
        asked.report(),
        asked.active_queues(),
    ]
    app.close()
    assert all(answers), answers
    return repr(answers).encode()


class Monitor:
    """Keeps every command that a Redis takes, as its MONITOR shows them, until the Redis ends."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        self._lines: list[bytes] = []
        self._begun = threading.Event()
        threading.Thread(target=self._listen, name="monitor", daemon=True).start()
        assert self._begun.wait(PATIENCE_S)

    @property
    def seen(self) -> bytes:
        """All that it has seen."""
        return b"\n".join(list(self._lines))

    def _listen(self) -> None:
        with contextlib.suppress(redis.RedisError, OSError, ValueError), self._client.monitor() as monitor:
            self._begun.set()
            while True:
                self._lines.append(bytes(monitor.connection.read_response(disable_decoding=True)))


class Flower:
    """A real Flower beside a rig; use it as a context manager."""

    login: Final = ("operator", "a-password-of-flowers")

    def __init__(self, rig: SystemRig, log_path: Path, **options: str) -> None:
        """``options`` are Flower's own, as in its variables."""
        self._log_path = log_path
        self._workers_log = rig.folder / "logs" / "worker-1.log"
        command = ["-m", "celery", "-A", "workers.app", "flower", "--address=127.0.0.1", "--port=0", "--logging=debug"]
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=rig.folder,
                env={
                    **variables(rig.settings),
                    "FLOWER_BASIC_AUTH": ":".join(self.login),
                    **{f"FLOWER_{name.upper()}": value for name, value in options.items()},
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def wait(self) -> None:
        """Return once it answers and has seen a worker."""
        until(lambda: _VISIT.search(self._log_path.read_text()), what="Flower listens")
        until(lambda: "worker-1" in self.page("/api/workers?refresh=1"), what="Flower knows the worker")

    def wait_for_events(self) -> None:
        """Return once the worker sends its tasks' events: started without them, it is asked some seconds later."""
        until(lambda: "enabled by remote" in self._workers_log.read_text(), what="Flower has the worker send events")

    @property
    def worker(self) -> str:
        """The name of the worker."""
        names: list[str] = list(json.loads(self.page("/api/workers")))
        return next(each for each in names if each.startswith("worker-1"))

    def pages(self, *, showing: str) -> bytes:
        """Return what there is to be seen, once that is among it."""
        until(lambda: showing in self.page("/api/tasks?limit=1000"), what="Flower shows the work")
        return "\n".join(map(self.page, _PAGES)).encode()

    @property
    def url(self) -> str:
        """Where it listens."""
        found = _VISIT.search(self._log_path.read_text())
        assert found
        return found[1]

    def page(self, path: str) -> str:
        """Return one of its pages."""
        answer = requests.get(f"{self.url}{path}", auth=self.login, timeout=30)
        return answer.text if answer.status_code != 404 else ""
