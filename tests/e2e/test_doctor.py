"""What `doctor` and `health` say of a whole system, while parts of it are killed and frozen."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks import __version__
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.rpc.server.probe import check_serving
from tests.support.stopwatch import answered_within
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A few seconds, and some for a busy machine: whatever hangs, it answers within.
BOUND_S: Final = 15.0
#: What is promised of a beat or sweeper that dies.
RED_WITHIN_S: Final = 30.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    with SystemRig(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig, monkeypatch: pytest.MonkeyPatch) -> SystemRig:
    """The system, well again after the test before, and its settings in our environment."""
    for name, value in variables({"data_dir": system.folder, **system.settings}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(system.folder)
    until(lambda: ran_s_ago(system) < 5, what="relay and sweep run")
    return system


def ran_s_ago(rig: SystemRig, which: str = "max") -> float:
    """Return how long ago the one of relay and sweep ran that has not for longer; or with ``min``, the other one."""
    names = ["relay", "sweep"]
    statement = "SELECT extract(epoch FROM clock_timestamp() - ended_at) FROM noteflow.task_runs WHERE name = ANY(%s)"
    ages = rig.database.execute(statement, [names])
    found = [float(age) for (age,) in ages]
    return {"min": min, "max": max}[which](found) if len(found) == len(names) else math.inf


@contextlib.contextmanager
def dead(rig: SystemRig, name: str) -> Iterator[None]:
    """Kill a part of the system, and start it again after the block."""
    rig.kill(name)
    try:
        yield
    finally:
        rig.restart(name)


def examined(capsys: pytest.CaptureFixture[str], *, code: int) -> dict[str, Any]:
    """Run the command; return the state of each check."""
    with answered_within(BOUND_S):
        assert run(root, ["doctor", "--json"]) == code
    return {each["check"]: each["state"] for each in json.loads(capsys.readouterr().out)}


def failures(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the checks that have failed, of which there must be some."""
    return {name for name, state in examined(capsys, code=1).items() if state == "failed"}


def assert_delivers(rig: SystemRig) -> None:
    """Expect a new event to come to a new endpoint."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.publish()
    rig.receiver.wait_for(1, path=path)
    rig.settled(webhook, "succeeded")


def test_a_healthy_system_is_all_green(rig: SystemRig) -> None:
    """A line for each check, nothing on standard error, and status 0."""
    assert_delivers(rig)
    command = [sys.executable, "-m", "noteflow_hooks.cli", "doctor"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)
    head, *lines = ended.stdout.splitlines()
    assert head.split() == ["STATE", "CHECK", "FOUND"]
    assert {line.split()[0] for line in lines} == {"ok"}, ended.stdout
    assert "1 worker answers" in ended.stdout
    assert "1 secrets under 1 of 1 keys" in ended.stdout
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_frozen_redis_fails_it_in_time_and_the_server_serves(
    rig: SystemRig, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names Redis, and what can't be told without; the server is well all the while."""
    with rig.frozen("valkey"):
        assert failures(capsys) == {"redis", "memory", "queues", "workers"}
        check_serving(rig.system.grpc, timeout_s=2)
    until(lambda: ran_s_ago(rig) < 2, what="relay and sweep go on")
    assert "failed" not in examined(capsys, code=0).values()


def test_a_frozen_database_fails_it_in_time(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> None:
    """It names PostgreSQL, and looks at Redis and the workers all the same."""
    with rig.frozen("postgres"):
        found = examined(capsys, code=1)
    assert found["postgres"] == "failed"
    assert {found[name] for name in ("redis", "queues", "workers")} == {"ok"}


def test_a_dead_beat_fails_it_while_new_events_flow(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody calls relay and sweep; the rows are made older here, and once beat is back all is well."""
    with dead(rig, "beat"):
        until(lambda: ran_s_ago(rig, "min") > 2, what="what beat had called for is done")
        assert "failed" not in examined(capsys, code=0).values()
        rig.database.execute("UPDATE noteflow.task_runs SET ended_at = ended_at - interval '15 s'")
        assert failures(capsys) == {"relay", "sweep"}
        assert_delivers(rig)
    until(lambda: ran_s_ago(rig) < 5, what="relay and sweep run again")
    assert "failed" not in examined(capsys, code=0).values()


@pytest.mark.chaos
def test_a_dead_beat_is_seen_within_thirty_seconds(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the other test, but with time that really passes."""
    with dead(rig, "beat"):
        with answered_within(RED_WITHIN_S):
            until(lambda: run(root, ["doctor"]) != 0, what="doctor turns red")
        capsys.readouterr()
        until(lambda: failures(capsys) == {"relay", "sweep"}, what="both are told of")
        assert_delivers(rig)
    until(lambda: ran_s_ago(rig) < 5, what="relay and sweep run again")
    assert "failed" not in examined(capsys, code=0).values()


def test_without_workers_it_fails(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> None:
    """None answers."""
    with dead(rig, "worker-1"):
        assert failures(capsys) == {"workers"}


def healthy(*arguments: str) -> bool:
    """Ask `health`, with a bound that fits a test; return its answer."""
    return run(root, ["health", *arguments, "--within", "4"]) == 0


@pytest.mark.usefixtures("rig")
def test_every_process_is_alive_and_ready() -> None:
    """By what it has done of late; a name that nobody has is no."""
    for process in (("--worker", "worker-1"), ("--beat",), ("--server",)):
        until(lambda process=process: healthy(*process), what=f"{process[0]} is alive and ready")  # type: ignore[misc]  # mypy knows no lambda's defaults
    assert not healthy("--worker", "worker-2")
    assert run(root, ["health", "--worker", "worker-1", "--beat"]) == 2


def test_a_frozen_worker_is_not_alive_and_doctor_names_it(rig: SystemRig, capsys: pytest.CaptureFixture[str]) -> None:
    """It answers nothing, and its connections are still there; once it goes on, it is alive."""
    until(lambda: healthy("--worker", "worker-1"), what="it is well")
    with rig.frozen("worker-1"):
        until(lambda: not healthy("--worker", "worker-1", "--alive"), what="its loop stands still")
        capsys.readouterr()
        assert run(root, ["doctor", "--json"]) == 1
        [said] = [each for each in json.loads(capsys.readouterr().out) if each["check"] == "workers"]
        named = [(each["name"], each["cmd"]) for each in rig.redis.client_list()]
        assert "connected and silent: worker-1@" in said["found"], str(named)
        assert "health --worker" in said["advice"]
    until(lambda: healthy("--worker", "worker-1"), what="it is alive and ready again")


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_a_worker_is_alive_and_not_ready_in_an_outage(rig: SystemRig, server: str) -> None:
    """A probe that restarted it would have the POSTs sent again whose results wait in it. So is beat without Redis."""
    with rig.frozen(server):
        until(lambda: not healthy("--worker", "worker-1", "--ready"), what="it gets nothing done")
        for process in (("--worker", "worker-1"), ("--beat",), ("--server",)):
            assert run(root, ["health", *process, "--alive"]) == 0
    until(lambda: healthy("--worker", "worker-1"), what="it is ready again", timeout_s=60)
    until(lambda: healthy("--beat"), what="beat is ready again", timeout_s=60)
    until(lambda: ran_s_ago(rig) < 2, what="relay and sweep go on", timeout_s=60)


def test_an_outage_is_told_once_and_so_is_its_end(rig: SystemRig) -> None:
    """By worker and beat, however often they were refused meanwhile."""
    logs = {name: rig.folder / "logs" / f"{name}.log" for name in ("worker-1", "beat")}
    sizes = {name: log.stat().st_size for name, log in logs.items()}

    def said(name: str, what: str) -> int:
        return logs[name].read_bytes()[sizes[name] :].decode().count(what)

    rig.redis.execute_command("CONFIG", "SET", "requirepass", "another")
    rig.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try:
        until(lambda: all(said(name, "Redis refuses: ") for name in logs), what="both tell of it")
    finally:
        rig.redis.execute_command("CONFIG", "SET", "requirepass", rig.system.redis_url.split(":")[2].split("@")[0])
    until(lambda: all(said(name, "Redis answers again") for name in logs), what="both tell of its end", timeout_s=60)
    assert {name: said(name, "Redis refuses: ") for name in logs} == dict.fromkeys(logs, 1)
    assert "Traceback" not in logs["beat"].read_text()


def test_an_idle_system_logs_nothing_and_says_who_is_connected(rig: SystemRig) -> None:
    """While relay and sweep come by again and again; that is all that they find."""
    logs = [rig.folder / "logs" / f"{name}.log" for name in ("worker-1", "beat", "server")]
    until(lambda: healthy("--worker", "worker-1"), what="it is well")
    before = [log.stat().st_size for log in logs]
    [(runs,)] = rig.database.execute("SELECT max(ended_at) FROM noteflow.task_runs").fetchall()
    behind = "SELECT count(*) FROM noteflow.task_runs WHERE ended_at > %s + interval '1 s'"
    until(lambda: rig.database.execute(behind, [runs]).fetchall() == [(2,)], what="some rounds")
    assert [log.stat().st_size for log in logs] == before
    named = rig.database.execute("SELECT DISTINCT application_name FROM pg_stat_activity").fetchall()
    assert {name.split()[2] for (name,) in named if name.startswith("noteflow-hooks ")} >= {"worker", "server"}
    clients = {each["name"].rpartition(":")[0] for each in rig.redis.client_list()}
    assert f"noteflow-hooks:{__version__}:worker" in clients
