"""TLS: who is let in, who is believed, what a renewed certificate needs, and one line for each file that is wrong."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.client import connect
from noteflow_hooks.errors import NoteFlowHooksError, SettingsError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.server.probe import check_serving
from noteflow_hooks.rpc.server.tls import TlsFiles, client_credentials
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World
from tests.support.certificates import authority, authority_pem, write_pair
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = ("--tls-ca", "--tls-cert", "--tls-key")
OTHER: Final = trustme.CA()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """The server's certificate for loopback, and its key."""
    return write_pair(tmp_path, authority().issue_cert("localhost", "127.0.0.1"))


def trusting(ca: trustme.CA, folder: Path, **own: Path) -> grpc.ChannelCredentials:
    """Return the credentials of a caller that trusts that authority."""
    path = folder / f"trusted-{id(ca)}.pem"
    ca.cert_pem.write_to_path(str(path))
    return client_credentials(str(path), names=NAMES, **own)


def ask(world: World, *, host: str = "127.0.0.1", **security: Any) -> None:  # noqa: ANN401 - connect's own
    """Call the server as a command does."""
    with connect(f"{host}:{world.address.rpartition(':')[2]}", world.token, attempts=1, **security) as client:
        client.meetings.ListMeetings(pb.ListMeetingsRequest(), timeout=PATIENCE_S)


def test_a_caller_that_trusts_the_authority_is_served(files: TlsFiles, tmp_path: Path) -> None:
    """By name and by number, with the certificate checked."""
    with World(tls=files) as world:
        ask(world, credentials=trusting(authority(), tmp_path))
        ask(world, host="localhost", credentials=trusting(authority(), tmp_path))


def test_what_is_wrong_with_tls_is_one_line(files: TlsFiles, tmp_path: Path) -> None:
    """Who is not trusted, not meant, or does not speak it."""
    named = write_pair(tmp_path, authority().issue_cert("server.example"), name="named")
    good = trusting(authority(), tmp_path)
    with World(tls=files) as world, World(tls=named) as elsewhere, World() as plain:
        with pytest.raises(NoteFlowHooksError, match="its certificate is not trusted: unable to get local issuer"):
            ask(world, credentials=trusting(OTHER, tmp_path))
        with pytest.raises(NoteFlowHooksError, match="its certificate is not trusted: unable to get local issuer"):
            ask(world, credentials=client_credentials("system", names=NAMES))
        with pytest.raises(NoteFlowHooksError, match="its certificate is for another name"):
            ask(elsewhere, credentials=good)
        with pytest.raises(NoteFlowHooksError, match="does not speak TLS"):
            ask(plain, credentials=good)
        with pytest.raises(UnavailableError, match="closes the connection: it may want TLS, or a"):
            ask(world)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_old_versions_of_tls_are_not_spoken(files: TlsFiles, version: ssl.TLSVersion) -> None:
    """1.2 is the oldest."""
    with World(tls=files) as world:
        for newest, spoken in (
            (version, None),
            (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
            (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ):
            assert _spoken(world.address, newest) == spoken


def test_callers_are_asked_for_a_certificate_where_an_authority_is_named(files: TlsFiles, tmp_path: Path) -> None:
    """One of that authority's, and no other, also with a good token."""
    mutual = TlsFiles(cert=files.cert, key=files.key, client_ca=authority_pem())
    own = write_pair(tmp_path, authority().issue_cert(common_name="a caller"), name="own")
    others = write_pair(tmp_path, OTHER.issue_cert(common_name="a caller"), name="others")
    with World(tls=mutual) as world:
        ask(world, credentials=trusting(authority(), tmp_path, cert=own.cert, key=own.key))
        for given in ({}, {"cert": others.cert, "key": others.key}):
            with pytest.raises(UnavailableError, match="or a certificate of yours"):
                ask(world, credentials=trusting(authority(), tmp_path, **given))


def test_a_renewed_certificate_is_used_without_a_restart(
    files: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a renewal changes nothing, and is said; the whole one is used from the next connection on."""
    renewed = write_pair(tmp_path, OTHER.issue_cert("localhost", "127.0.0.1"), name="renewed")
    with caplog.at_level("INFO"), World(tls=files) as world:
        old = trusting(authority(), tmp_path)
        renewed.cert.replace(files.cert)
        ask(world, credentials=old)
        assert "is not the key of the first certificate" in caplog.text
        renewed.key.replace(files.key)
        ask(world, credentials=trusting(OTHER, tmp_path))
        assert "the renewed TLS certificate is in use" in caplog.text
        with pytest.raises(NoteFlowHooksError, match="not trusted"):
            ask(world, credentials=old)


def test_a_server_that_others_reach_needs_tls_or_an_honest_setting(files: TlsFiles, tmp_path: Path) -> None:
    """All addresses of this machine, with neither, with the one and with the other."""
    with pytest.raises(SettingsError, match="GRPC_INSECURE_PLAINTEXT=true"):
        World(bind="0.0.0.0:0").__enter__()
    with World(bind="0.0.0.0:0", tls=files) as world:
        ask(world, credentials=trusting(authority(), tmp_path))
    with World(bind="0.0.0.0:0", plaintext=True) as world:
        world.a_meeting()


def test_a_socket_in_the_file_system_is_this_machine(tmp_path: Path) -> None:
    """It needs no TLS on either side."""
    with World(bind=f"unix:{tmp_path}/hooks.sock") as world:
        world.a_meeting()
        assert world.address == f"unix:{tmp_path}/hooks.sock"
        assert stat.S_ISSOCK((tmp_path / "hooks.sock").stat().st_mode)


def test_commands_speak_tls(
    files: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their options or by the environment; with a certificate of their own where the server wants one."""
    mutual = TlsFiles(cert=files.cert, key=files.key, client_ca=authority_pem())
    own = write_pair(tmp_path, authority().issue_cert(common_name="a caller"), name="own")
    monkeypatch.chdir(tmp_path)
    with World(tls=mutual) as world:
        line = ["webhooks", "list", "--server", world.address, "--token", world.token]
        given = ["--tls-ca", str(authority_pem()), "--tls-cert", str(own.cert), "--tls-key", str(own.key)]
        assert run(root, [*line, *given]) == 0
        assert run(root, [*line, *given[:2]]) == 1
        assert "or a certificate of yours (--tls-ca, --tls-cert)" in capsys.readouterr().err
        for name, value in zip(("TLS_CA", "TLS_CERT", "TLS_KEY"), given[1::2], strict=True):
            monkeypatch.setenv(PREFIX + name, value)
        assert run(root, line) == 0
        assert run(root, [*line, "--tls-ca", str(own.cert)]) == 1
        assert "its certificate is not trusted" in capsys.readouterr().err


def test_a_health_check_needs_no_token_and_nobody_s_word_for_the_certificate(
    files: TlsFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It expects the server's own, and shows one of its own where the server asks for it."""
    monkeypatch.chdir(tmp_path)
    own = write_pair(tmp_path, authority().issue_cert(common_name="a probe"), name="own")
    wild = write_pair(tmp_path, authority().issue_cert("*.hooks.example"), name="wild")
    mutual = TlsFiles(cert=files.cert, key=files.key, client_ca=authority_pem())
    with World() as plain, World(tls=wild) as secure, World(tls=mutual) as asking:
        monkeypatch.setenv(f"{PREFIX}GRPC_BIND", f"0.0.0.0:{plain.address.rpartition(':')[2]}")
        assert run(root, ["health"]) == 0
        assert capsys.readouterr().out == f"{plain.address} is serving\n"
        monkeypatch.setenv(f"{PREFIX}GRPC_TLS_CERT", str(wild.cert))
        assert run(root, ["health", secure.address]) == 0
        monkeypatch.setenv(f"{PREFIX}GRPC_TLS_CERT", str(files.cert))
        for wrong in (secure, asking, plain):
            assert run(root, ["health", wrong.address]) == 1
            assert f"the server at {wrong.address} is not well: UNAVAILABLE" in capsys.readouterr().err
        monkeypatch.setenv(f"{PREFIX}TLS_CERT", str(own.cert))
        monkeypatch.setenv(f"{PREFIX}TLS_KEY", str(own.key))
        assert run(root, ["health", asking.address]) == 0


def test_commands_call_the_server_of_this_machine_by_its_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody names a server, that at GRPC_BIND is called, and must show the certificate that `serve` has."""
    monkeypatch.chdir(tmp_path)
    wild = write_pair(tmp_path, authority().issue_cert("*.hooks.example"), name="wild")
    with World(tls=wild) as world:
        for name, value in {"GRPC_BIND": world.address, "GRPC_TLS_CERT": str(wild.cert), "TOKEN": world.token}.items():
            monkeypatch.setenv(PREFIX + name, value)
        assert run(root, ["webhooks", "list"]) == 0
        other = write_pair(tmp_path, trustme.CA().issue_cert("*.hooks.example"), name="other")
        monkeypatch.setenv(f"{PREFIX}GRPC_TLS_CERT", str(other.cert))
        assert run(root, ["webhooks", "list"]) == 1
        assert "its certificate is not trusted" in capsys.readouterr().err


def test_a_server_that_says_that_it_does_not_serve_is_believed() -> None:
    """Though it answers, as one does that is about to stop."""
    server, servicer = grpc.server(ThreadPoolExecutor(1)), health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with pytest.raises(UnavailableError, match=f"the server at {address} is not serving"):
            check_serving(address, timeout_s=PATIENCE_S)
    finally:
        server.stop(None).wait()


def test_a_server_that_can_not_start_says_so_in_one_line(tmp_path: Path, files: TlsFiles) -> None:
    """As a process: status 1, no traceback, and nothing of gRPC's own."""
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEYS": "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=",
    }
    for given, says in (
        ({"GRPC_BIND": "0.0.0.0:0"}, "GRPC_BIND is '0.0.0.0:0', which others than this machine may reach"),
        ({"GRPC_TLS_CERT": str(files.cert), "GRPC_TLS_KEY": "/none"}, "GRPC_TLS_KEY: /none can't be read"),
    ):
        environment = {f"{PREFIX}{name}": value for name, value in (settings | given).items()}
        ended = subprocess.run(
            [sys.executable, "-m", "noteflow_hooks.cli", "serve"],
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 1
        assert f"noteflow-hooks: {PREFIX}{says}" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""


def _spoken(address: str, newest: ssl.TLSVersion) -> str | None:
    """Return the version that the server speaks with a client that speaks no newer one; None where it speaks none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority_pem())
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            return connection.version()
    except (ssl.SSLError, ConnectionResetError):
        return None
