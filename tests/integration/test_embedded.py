"""The embedded servers start, stop, come back with their data, and clean up after a run that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from noteflow_hooks.local.children import unprivileged
from noteflow_hooks.local.children.process import ServerProcess
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey, cluster
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLED_RUN = """
import sys, time
from pathlib import Path
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey
server = {"postgres": EmbeddedPostgres, "valkey": EmbeddedValkey}[sys.argv[1]](Path(sys.argv[2]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed_run() -> Iterator[Callable[[str, Path], int]]:
    """Start a server in a process of its own, kill that process, and return the pid of the server it left."""
    left: list[int] = []

    def run(kind: str, folder: Path) -> int:
        command = [sys.executable, "-c", KILLED_RUN, kind, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            left.append(int(owner.stdout.readline()))
            owner.kill()
        return left[-1]

    yield run
    for pid in left:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def query(postgres: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def valkey_client(valkey: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(valkey.url, decode_responses=True)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has asked after since counts as gone."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int) -> None:
    """Return once the process has ended."""
    until(lambda: is_gone(pid), what=f"process {pid} ends")


def test_postgres_keeps_its_data_its_url_and_its_folder_over_a_restart(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres", settings={"max_connections": "33"})
    with postgres:
        url = postgres.url
        query(postgres, "CREATE TABLE kept AS SELECT 'ä' AS word")
        assert query(postgres, "SHOW max_connections") == [("33",)]
        assert query(postgres, "SHOW fsync") == [("on",)]
        assert query(postgres, "SHOW listen_addresses") == [("",)]
    assert postgres.pid is None
    with postgres:
        assert postgres.url == url
        assert query(postgres, "SELECT word FROM kept") == [("ä",)]


def test_starting_what_runs_changes_nothing(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as postgres, EmbeddedValkey(tmp_path / "valkey") as valkey:
        pids = postgres.pid, valkey.pid
        postgres.start()
        valkey.start()
        assert (postgres.pid, valkey.pid) == pids


def test_postgres_outlives_a_long_path_and_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / ("long " * 30) / "with, commas")
    with postgres:
        sockets = Path(str(query(postgres, "SHOW unix_socket_directories")[0][0]).strip('"'))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not sockets.exists()


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_the_postgres_that_a_killed_run_left_is_taken_over(
    tmp_path: Path, killed_run: Callable[[str, Path], int], *, frozen: bool
) -> None:
    left = killed_run("postgres", tmp_path / "postgres")
    if frozen:
        os.kill(left, signal.SIGSTOP)
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        wait_until_gone(left)
        assert query(postgres, "SELECT 1") == [(1,)]


def test_a_long_paths_socket_folder_goes_with_the_run_that_takes_over(
    tmp_path: Path, killed_run: Callable[[str, Path], int]
) -> None:
    folder = tmp_path / ("long" * 30)
    killed_run("postgres", folder)
    left = Path((folder / "data" / "postmaster.pid").read_text().splitlines()[4])
    assert left.name.startswith(cluster.SHORT_PREFIX)
    with EmbeddedPostgres(folder):
        assert not left.exists()


def test_postgres_comes_back_after_its_own_kill_with_all_that_was_committed(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        query(postgres, "CREATE TABLE kept AS SELECT 7 AS number")
        pid = postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
        postgres.start()
        assert query(postgres, "SELECT number FROM kept") == [(7,)]


def test_a_stale_pid_file_that_names_a_live_stranger_harms_neither(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    with postgres:
        pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
            with postgres:
                assert query(postgres, "SELECT 1") == [(1,)]
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_cluster_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "data.new" / "base"
    unfinished.mkdir(parents=True)
    with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        assert query(postgres, "SELECT 1") == [(1,)]
    assert not unfinished.exists()


def test_a_cluster_of_another_major_version_is_refused_with_both_named(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedServerError, match=r"written by PostgreSQL 9 and this is PostgreSQL \d\d"):
        EmbeddedPostgres(tmp_path / "postgres").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_cluster_of_another_user_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    os.chown(data, 12345, 12345)
    with pytest.raises(EmbeddedServerError, match="belongs to user 12345"):
        EmbeddedPostgres(tmp_path / "postgres").start()


def test_a_server_that_can_not_start_says_why_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        EmbeddedPostgres(tmp_path / "postgres", settings={"no_such_setting": "1"}).start()
    with pytest.raises(EmbeddedServerError, match="no-such-setting"):
        EmbeddedValkey(tmp_path / "valkey", settings={"no-such-setting": "1"}).start()


def test_a_server_that_is_not_ready_in_time_is_ended_and_frees_its_folder(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    with pytest.raises(EmbeddedServerError, match="within 0 s"):
        valkey.start(timeout_s=0)
    assert valkey.pid is None
    valkey.start()
    valkey.stop()


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedValkey])
def test_a_second_start_on_the_same_folder_is_refused_while_the_first_runs(
    tmp_path: Path, server: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    with server(tmp_path) as first:
        pid = first.pid
        with pytest.raises(EmbeddedServerError, match="in use by another run"):
            server(tmp_path).start()
        assert first.pid == pid
    with server(tmp_path):
        pass


def test_nothing_outside_the_folder_changes_and_nothing_inside_is_anyone_elses(tmp_path: Path) -> None:
    def modes() -> list[tuple[Path, int, int]]:
        return [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in tmp_path.parents]

    tmp_path.chmod(0o700)
    before = modes()
    with EmbeddedPostgres(tmp_path / "a" / "postgres") as postgres, EmbeddedValkey(tmp_path / "a" / "valkey"):
        assert query(postgres, "SELECT 1") == [(1,)]
        assert {path.lstat().st_uid for path in tmp_path.rglob("*")} == {os.geteuid()}
        assert stat.S_IMODE((tmp_path / "a" / "postgres" / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "a" / "valkey" / "valkey.conf").stat().st_mode) == 0o600
    assert modes() == before


def test_valkey_forgets_unless_told_to_persist_and_keeps_its_url(tmp_path: Path) -> None:
    for persist, expected in [(False, None), (True, "kept")]:
        valkey = EmbeddedValkey(tmp_path / f"val key {persist}", persist=persist)
        with valkey:
            url = valkey.url
            with valkey_client(valkey) as client:
                client.set("word", "kept")
        with valkey, valkey_client(valkey) as client:
            assert valkey.url == url
            assert client.get("word") == expected
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_valkey_answers_nobody_without_its_password_and_shows_it_in_no_command_line(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        with redis.Redis(port=valkey.port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        password = urlsplit(valkey.url).password
        assert password is not None
        assert password not in " ".join(psutil.Process(valkey.pid).cmdline())


def test_the_valkey_that_a_killed_run_left_is_taken_over(
    tmp_path: Path, killed_run: Callable[[str, Path], int]
) -> None:
    left = killed_run("valkey", tmp_path)
    with EmbeddedValkey(tmp_path) as valkey, valkey_client(valkey) as client:
        wait_until_gone(left)
        assert client.ping()


def test_valkey_moves_on_from_a_port_that_is_taken_but_not_from_one_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match="Address already in use"):
            EmbeddedValkey(tmp_path, port=port).start()
        ports = iter([port, *range(20_000, 30_000)])
        monkeypatch.setattr("noteflow_hooks.local.servers.valkey._free_port", lambda: next(ports))
        with EmbeddedValkey(tmp_path) as valkey:
            assert valkey.port != port


def test_valkey_has_no_port_before_it_has_started(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no port"):
        _ = EmbeddedValkey(tmp_path).url


def test_a_server_that_ignores_every_signal_is_killed(tmp_path: Path) -> None:
    server = ServerProcess("deaf", log_path=tmp_path / "log")
    command = ["sh", "-c", "trap '' INT TERM; echo deaf; while :; do sleep 0.1; done"]
    server.spawn(command, env=dict(os.environ), cwd=tmp_path)
    assert server.wait_until(lambda: "deaf" in server.log(), timeout_s=PATIENCE_S)
    pid = server.pid
    server.stop([(signal.SIGINT, 0.1), (signal.SIGTERM, 0.1)])
    assert pid is not None
    wait_until_gone(pid)
    assert server.pid is None


def test_a_user_without_a_name_gets_the_namespace_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert unprivileged.__file__ in cluster.as_ordinary_user(["postgres"])


def test_root_without_user_namespaces_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "as_ordinary_user", lambda _: ["sh", "-c", f"exit {unprivileged.FORBIDDEN}"])
    with pytest.raises(EmbeddedServerError, match="run as an ordinary user, or allow user namespaces"):
        EmbeddedPostgres(tmp_path).start()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for server in (EmbeddedPostgres(tmp_path / "postgres"), EmbeddedValkey(tmp_path / "valkey")):
        with pytest.raises(EmbeddedServerError, match=r"noteflow-hooks\[embedded\]"):
            server.start()


def test_postgresql_starts_from_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs call each other through a shell, to which a dollar sign means something; nothing is left of it."""
    odd = tmp_path / "d\u00e9$HOME `x` b"
    installed = cluster.binary("initdb").parents[2]
    for each in (installed, installed.with_name(f"{installed.name}.libs")):
        shutil.copytree(each, odd / each.name, symlinks=True)
    monkeypatch.setattr(cluster, "binary", lambda name: odd / installed.name / "pginstall" / "bin" / name)
    monkeypatch.setenv("LC_ALL", "C")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with EmbeddedPostgres(odd / "data") as postgres:
        assert query(postgres, "SELECT 1") == [(1,)]
    assert list(temporary.iterdir()) == []
