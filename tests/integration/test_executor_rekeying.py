"""A server that shakes hands anew in mid-exchange, as some do to ask for a client's certificate, is lived with."""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import IO, TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority, authority_pem
from tests.support.hostile_cases.case import OK

if TYPE_CHECKING:
    from pathlib import Path


def read_until(stream: IO[bytes], end: bytes) -> bytes:
    """Return what the server prints until it has printed that, or has ended."""
    seen = b""
    while not seen.endswith(end) and (byte := stream.read(1)):
        seen += byte
    return seen


def test_new_keys_between_request_and_answer_change_nothing(tmp_path: Path) -> None:
    """The answer under the new keys is the answer."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command here, and Python's own server can't renegotiate")
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    started = [openssl, "s_server", "-tls1_2", "-accept", "127.0.0.1:0", "-cert", str(tmp_path / "server.pem")]
    executor = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"]), ca_bundle=authority_pem())
    with subprocess.Popen(
        started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as server:
        said, told = server.stdout, server.stdin
        assert said is not None
        assert told is not None

        def answer() -> None:
            read_until(said, b"{}")
            told.write(b"R\n")
            read_until(said, b"SSL_do_handshake -> 1\n")
            told.write(OK + b"Content-Length: 8\r\n\r\nnew keys")

        read_until(said, b"ACCEPT ")
        address = read_until(said, b"\n").decode().strip()
        answering = threading.Thread(target=answer)
        answering.start()
        url = f"https://localhost:{address.rpartition(':')[2]}/"
        result = executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=60_000), b"{}"))
        server.kill()
        answering.join()
    executor.close()
    assert (result.status_code, result.response_body) == (200, "new keys"), result
