"""`noteflow-hooks dashboard`: starts, says where it is, ends at once, and says in one line what keeps it from it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.settings import PREFIX
from tests.support.sockets import tcp_connections
from tests.support.stopwatch import answered_within
from tests.support.visitor import Visitor
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.rpc.world import World

_CLI: Final = (sys.executable, "-m", "noteflow_hooks.cli")


def _environment(**settings: str) -> dict[str, str]:
    ours = {f"{PREFIX}{name}": value for name, value in settings.items()}
    return {**{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}, **ours}


@contextmanager
def _running(folder: Path, server: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Offer a running dashboard, and where it is."""
    env = _environment(**{"DASHBOARD_BIND": "127.0.0.1:0", **settings})
    command = [*_CLI, "dashboard", "--server", server]
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None
        line = it.stdout.readline()
        assert line.startswith("the dashboard is at http"), it.communicate()
        try:
            yield it, line.split()[-1]
        finally:
            it.kill()


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What runs the command with settings, and returns the one line with which it ends."""

    def run_command(**settings: str) -> str:
        monkeypatch.chdir(tmp_path)
        for name, value in settings.items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        assert run(root, ["dashboard", "--server", "127.0.0.1:1"]) == 1
        output = capsys.readouterr()
        assert (output.out, output.err.count("\n")) == ("", 1)
        return output.err

    return run_command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_and_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """With status 0 and without a word, also while a page waits for a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        with _running(tmp_path, at) as (process, url):
            visitor = Visitor(int(url.rpartition(":")[2]))
            waits = threading.Thread(target=lambda: _ignoring(lambda: visitor.sign_in("nfh_x")), daemon=True)
            waits.start()
            connection, _ = silent.accept()
            with connection, answered_within(5):
                process.send_signal(number)
                assert process.wait(PATIENCE_S) == 0
            assert process.communicate() == ("", "")


def test_every_connection_of_it_sends_at_once(world: World, tmp_path: Path) -> None:
    """A page has several segments: none of them waits for a browser that puts its acknowledgement off."""
    with _running(tmp_path, world.address) as (process, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as browser:
            browser.sendall(b"GET /alive HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert browser.recv(64).startswith(b"HTTP/1.1 200")
            try:
                set_to = [
                    (each.getsockname(), each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                    for each in tcp_connections(process.pid)
                ]
            except PermissionError:
                pytest.skip("this machine lets no process look into another one's connections")
            assert browser.getpeername() in [at for at, _ in set_to]
            assert [at for at, sends_at_once in set_to if not sends_at_once] == []


def test_it_is_a_client_of_the_server_that_is_named(world: World, tmp_path: Path) -> None:
    """And needs no database, no keys and no token of its own."""
    with _running(tmp_path, world.address) as (process, url):
        visitor = Visitor(int(url.rpartition(":")[2]))
        assert visitor.sign_in(world.token).status == 303
        # It gives way to whoever delivers on this machine.
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        assert visitor.get("/endpoints").status == 200


def test_a_session_outlives_a_restart_where_there_is_a_secret(world: World, tmp_path: Path) -> None:
    """And by default does not."""
    for secret, status in (({"DASHBOARD_SECRET": "a secret of 16 or more"}, 200), ({}, 303)):
        with socket.create_server(("127.0.0.1", 0)) as free:
            bind = f"127.0.0.1:{free.getsockname()[1]}"
        with _running(tmp_path, world.address, DASHBOARD_BIND=bind, **secret):
            visitor = Visitor(int(bind.rpartition(":")[2]))
            visitor.sign_in(world.token)
        with _running(tmp_path, world.address, DASHBOARD_BIND=bind, **secret):
            assert visitor.get("/endpoints").status == status


def test_two_on_one_port_are_refused(world: World, tmp_path: Path, refused: Callable[..., str]) -> None:
    """With one line, and without harm to the first."""
    with _running(tmp_path, world.address) as (_, url):
        at = url.removeprefix("http://")
        line = f"noteflow-hooks: {PREFIX}DASHBOARD_BIND is '{at}': can't listen there: Address already in use\n"
        assert refused(DASHBOARD_BIND=at) == line
        assert Visitor(int(url.rpartition(":")[2])).get("/alive").text == "alive\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DASHBOARD_BIND": "0.0.0.0:0"}, "others than this machine may reach that"),
        ({"DASHBOARD_BIND": "[::]:0"}, "others than this machine may reach that"),
        ({"DASHBOARD_BIND": "unix:/tmp/x"}, "it may hold an address and a port"),
        ({"DASHBOARD_BIND": "8088"}, "it may hold an address and a port"),
        ({"DASHBOARD_BIND": "192.0.2.1:1", "DASHBOARD_INSECURE_PLAINTEXT": "true"}, "can't listen there"),
        ({"DASHBOARD_SECRET": "short"}, "DASHBOARD_SECRET is a value that is not shown here; it may hold"),
        ({"DASHBOARD_HOSTS": "hooks.example.com:443"}, "it may hold host names without ports"),
        ({"DASHBOARD_TLS_CERT": "cert.pem"}, "DASHBOARD_TLS_KEY is not: TLS needs a certificate and its key"),
        ({"DASHBOARD_TLS_CERT": "no.pem", "DASHBOARD_TLS_KEY": "no.pem"}, "they hold no certificate with its key"),
    ],
)
def test_what_it_can_not_do_is_said_in_one_line(
    refused: Callable[..., str], settings: dict[str, str], words: str
) -> None:
    """That names the variable."""
    line = refused(**settings)
    assert f"{PREFIX}DASHBOARD_" in line
    assert words in line
    assert "Traceback" not in line


def test_with_tls_files_it_listens_beyond_loopback(world: World, tmp_path: Path) -> None:
    """Under the names that it is given, and no others."""
    authority = trustme.CA()
    pair = authority.issue_cert("hooks.example.com")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = {"DASHBOARD_TLS_CERT": "cert.pem", "DASHBOARD_TLS_KEY": "key.pem"}
    named = {"DASHBOARD_BIND": "0.0.0.0:0", "DASHBOARD_HOSTS": "hooks.example.com"}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with _running(tmp_path, world.address, **files, **named) as (_, url):
        assert url.startswith("https://0.0.0.0:")
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="hooks.example.com") as encrypted,
        ):
            for host, status in (("hooks.example.com", b"200"), ("127.0.0.1", b"421")):
                encrypted.sendall(f"GET /sign-in HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
                answer = encrypted.recv(65_536)
                while b"</html>" not in answer and b"lists them" not in answer:
                    answer += encrypted.recv(65_536)
                assert answer.split()[1] == status


def test_health_asks_whether_it_is_alive_and_whether_its_server_serves(world: World, tmp_path: Path) -> None:
    """For a container's health checks: only the one that asks whether it is ready calls its server."""
    with _running(tmp_path, world.address) as (_, url):
        bind = url.removeprefix("http://")
        asked = _health(tmp_path, "--alive", DASHBOARD_BIND=bind)
        assert (asked.returncode, asked.stdout) == (0, "dashboard is alive (it answers)\n")
        asked = _health(tmp_path, DASHBOARD_BIND=bind, SERVER=world.address)
        assert (asked.returncode, asked.stdout) == (
            0,
            "dashboard is alive (it answers) and ready (its server is serving)\n",
        )
        asked = _health(tmp_path, "--ready", DASHBOARD_BIND=bind, SERVER="127.0.0.1:1")
        assert (asked.returncode, asked.stderr) == (
            1,
            "dashboard is not ready (the server at 127.0.0.1:1 is not well: UNAVAILABLE)\n",
        )
    asked = _health(tmp_path, "--alive", DASHBOARD_BIND=bind)
    assert (asked.returncode, asked.stderr) == (1, f"dashboard is not alive (no dashboard answers at {url})\n")


def _health(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command, env = [*_CLI, "health", "--dashboard", *words], _environment(**variables)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _ignoring(call: Callable[[], object]) -> None:
    try:
        call()
    except OSError:
        return
