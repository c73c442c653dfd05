"""`noteflow-hooks up`: says what it runs, keeps it running, and leaves nothing but its data."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import psutil
import psycopg
import pytest
import redis

from noteflow_hooks.client import connect
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.support.builders import a_payload
from tests.support.clusters import put_cluster
from tests.support.receiver import Receiver
from tests.support.shares import first_of
from tests.support.stopwatch import answered_within
from tests.support.visitor import Visitor
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from noteflow_hooks.client import Client

CLI: Final = [sys.executable, "-m", "noteflow_hooks.cli"]
#: Every process is gone within this time after Ctrl-C.
END_S: Final = 10


class Up:
    """A running `up`; leaving the block kills it and the next one ends what is left."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.env = {**os.environ, f"{PREFIX}DATA_DIR": str(self.data), **settings}

    def __enter__(self) -> Self:
        with (self.folder / "said").open("w") as said:
            self.process = subprocess.Popen(
                [*CLI, "up"], cwd=self.folder, env=self.env, stdout=said, stderr=subprocess.STDOUT
            )
        until(self._is_up, what="`up` is up")
        self.addresses = self.read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGTERM)

    @property
    def said(self) -> str:
        """All that it has printed."""
        return (self.folder / "said").read_text()

    def read(self) -> dict[str, Any]:
        """Return what `up.json` says."""
        value: dict[str, Any] = json.loads((self.data / "up.json").read_text())
        return value

    def end(self, number: signal.Signals) -> None:
        """Send the signal, and fail where it takes too long."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside it."""
        return subprocess.run(
            [*CLI, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.said
        # One that an earlier run has left may still lie there.
        return (self.data / "up.json").exists() and self.read()["pid"] == self.process.pid


def alive(pids: dict[str, int]) -> set[str]:
    """Return the names of those that still run."""
    return {name for name, pid in pids.items() if psutil.pid_exists(pid)}


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="nf-") as folder:
        put_cluster(Path(folder, "data", "postgres"))
        with Up(Path(folder)) as running:
            yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="nf-") as path:
        yield Path(path)


def test_it_says_what_it_runs(up: Up) -> None:
    """On its standard output and in up.json, which is for this user alone."""
    addresses = up.read()
    for name in ("grpc", "token", "workspace_id", "database_url", "redis_url"):
        assert addresses[name] in up.said
    assert "noteflow_hooks.cli listen" in up.said
    assert set(addresses["processes"]) == {"postgres", "valkey", "server", "worker-1", "beat", "dashboard"}
    assert alive(addresses["processes"]) == set(addresses["processes"])
    private = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [up.data, *up.data.iterdir()]}
    assert set(private.values()) == {0}, private


def test_its_addresses_are_good(up: Up) -> None:
    """For the database, the broker, the server, and every command beside it."""
    with psycopg.connect(up.addresses["database_url"]) as connection:
        [(workspaces,)] = connection.execute("SELECT array_agg(id::text) FROM noteflow.workspaces").fetchall()
    assert up.addresses["workspace_id"] in workspaces
    with redis.Redis.from_url(up.addresses["redis_url"]) as client:
        assert client.ping()
    with connect(up.addresses["grpc"], up.addresses["token"]) as server:
        server.meetings.ListMeetings(pb.ListMeetingsRequest())
    for words in (["webhooks", "list"], ["workspaces", "list"], ["tokens", "list"]):
        assert up.run(*words, "--json").returncode == 0


def test_plain_http_to_this_machine_is_delivered(up: Up) -> None:
    """So that a newcomer's receiver needs no certificate."""
    with Receiver() as receiver:
        webhook = json.loads(up.run("webhooks", "add", receiver.url(), "--json").stdout)
        up.run("events", "publish", "meeting.completed", "--payload", json.dumps(a_payload()))
        [request] = receiver.wait_for(1)
        assert request.header("X-NoteFlow-Event") == "meeting.completed"
    assert up.run("webhooks", "remove", webhook["id"]).returncode == 0


def test_the_dashboard_is_there_and_its_link_signs_in_once(up: Up) -> None:
    """With the token of `up`, for whoever reads its output; a new start has a new one, at the same address."""
    [link] = re.findall(r"http://127\.0\.0\.1:\d+/once/\S+", up.said)
    at = up.addresses["dashboard"]
    assert link.startswith(f"{at}/once/")
    assert at in up.said
    visitor, late = (Visitor(int(at.rpartition(":")[2])) for _ in range(2))
    path = link.removeprefix(at)
    assert visitor.get(path).location == "/overview"
    assert visitor.get("/overview").status == 200
    assert late.get(path).location == "/sign-in?why=link"
    assert not (up.data / "dashboard_link.json").exists()
    environment = Path(f"/proc/{up.read()['processes']['dashboard']}/environ").read_text()
    known = [up.addresses[name] for name in ("token", "database_url", "redis_url")]
    assert [each for each in known if each in environment] == []
    assert json.loads((up.data / "state.json").read_text())["dashboard"] == at.removeprefix("http://")


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    """With one line, and without harm to the first."""
    second = up.run("up")
    assert second.returncode == 1
    line = f"noteflow-hooks: {up.data} is in use by another run: stop that one, or name another folder"
    assert second.stderr == f"{line} in {PREFIX}DATA_DIR\n"
    assert up.run("webhooks", "list").returncode == 0


@pytest.mark.parametrize("name", first_of(["worker-1", "postgres", "server", "valkey", "beat", "dashboard"], 2))
def test_what_dies_is_started_again(up: Up, name: str) -> None:
    """Under its old address, with a line that says so and a new pid in up.json."""
    pid = up.read()["processes"][name]
    os.kill(pid, signal.SIGKILL)
    until(lambda: up.read()["processes"].get(name, pid) != pid, what=f"{name} is started again")
    with connect(up.addresses["grpc"], up.addresses["token"]) as server:
        until(lambda: _lists(server), what="the server answers")
    assert f"noteflow-hooks: {name} " in up.said
    assert up.read()["grpc"] == up.addresses["grpc"]


def _lists(server: Client) -> bool:
    with suppress(NoteFlowHooksError):
        server.webhooks.ListWebhooks(pb.ListWebhooksRequest())
        return True
    return False


@pytest.mark.chaos
def test_settings_of_the_environment_reach_its_programs(folder: Path) -> None:
    """But for those that are its own business; what can't be bound ends the start with one line."""
    settings = {f"{PREFIX}GRPC_BIND": "192.0.2.1:7", f"{PREFIX}DATABASE_URL": "postgresql://127.0.0.1:9/x"}
    env = {**os.environ, f"{PREFIX}DATA_DIR": str(folder / "data"), **settings}
    ended = subprocess.run([*CLI, "up"], env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("noteflow-hooks: NOTEFLOW_HOOKS_GRPC_BIND is '192.0.2.1:7': can't listen there: ")
    assert ended.stderr.count("\n") == 1
    assert not (folder / "data" / "up.json").exists()


@pytest.mark.chaos
def test_after_kill_9_the_next_one_works_with_its_data_and_ctrl_c_leaves_nothing(up: Up) -> None:
    """The same address, workspace and token; what the killed one left behind is ended first. The last test of `up`."""
    webhook = json.loads(up.run("webhooks", "add", "https://example.com/", "--json").stdout)
    left = up.read()["processes"]
    up.end(signal.SIGKILL)
    with Up(up.folder) as again:
        assert alive(left) == set()
        changing = {"processes": {}, "pid": 0, "redis_url": ""}
        assert {**again.addresses, **changing} == {**up.addresses, **changing}
        [listed] = json.loads(again.run("webhooks", "list", "--json").stdout)
        assert listed["id"] == webhook["id"]
        rotated = json.loads(again.run("webhooks", "rotate-secret", webhook["id"], "--json").stdout)
        assert "previous_secret_expires_at" in rotated
        processes = again.read()["processes"]
        with answered_within(END_S):
            again.process.send_signal(signal.SIGINT)
            again.process.send_signal(signal.SIGINT)
            assert again.process.wait(PATIENCE_S) == 0
        assert alive(processes) == set()
    assert not (up.data / "up.json").exists()
