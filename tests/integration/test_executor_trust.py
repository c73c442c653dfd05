"""Whom TLS trusts: the system's store and the operator's bundle, whatever OpenSSL's variables say."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http.trust import tls_context
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Let no other test have the context that was made under this one's environment."""
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tests' authority, named as SSL_CERT_DIR needs it."""
    if shutil.which("openssl") is None:
        pytest.skip("only openssl knows the names that it looks for")
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(authority_pem())]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(authority_pem(), tmp_path / f"{name}.0")
    return tmp_path


def kind(receiver: Receiver, *, ca_bundle: Path | None = None) -> ErrorKind | None:
    """Post once and return what went wrong."""
    executor = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"]), ca_bundle=ca_bundle)
    result = executor.post(Claim(a_delivery(), a_webhook(url=receiver.url()), b"{}"))
    executor.close()
    return result.error_kind


def openssl_trusts(receiver: Receiver) -> bool:
    """Tell whether a context that reads OpenSSL's variables trusts the receiver."""
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", receiver.port)) as sock,
        contextlib.suppress(ssl.SSLCertVerificationError),
        context.wrap_socket(sock, server_hostname="127.0.0.1"),
    ):
        return True
    return False


def test_an_authority_named_by_ssl_cert_file_is_not_trusted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL itself would take it in place of the system's store."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_pem()))
    assert openssl_trusts(receiver)
    assert kind(receiver) is ErrorKind.TLS


def test_an_authority_in_ssl_cert_dir_is_not_trusted(
    receiver: Receiver, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of certificates is read no more than a file."""
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert openssl_trusts(receiver)
    assert kind(receiver) is ErrorKind.TLS


def test_the_environment_takes_no_trust_away(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's authorities stay, and the operator's bundle counts beside them."""
    before = tls_context(None).cert_store_stats()
    tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert tls_context(None).cert_store_stats() == before
    assert kind(receiver, ca_bundle=authority_pem()) is None


def test_no_session_keys_are_written_for_whoever_asks_in_the_environment(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSLKEYLOGFILE would let whoever sees the traffic read it."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert kind(receiver, ca_bundle=authority_pem()) is None
    assert not (tmp_path / "keys").exists()
