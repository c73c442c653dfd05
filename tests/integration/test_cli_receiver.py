"""The receiver of `listen` and `demo`, and `listen` as a process."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests

from noteflow_hooks.cli.support.receiver import HOST, Received, Receiver
from noteflow_hooks.signing import generate_secret, sign
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    Listener = tuple[subprocess.Popen[str], str]

BODY = b'{"event":"meeting.completed"}'


def test_a_request_is_handed_on_as_it_came() -> None:
    """Its bytes untouched, its headers' names in lower case; the answer is the caller's."""
    came: list[Received] = []

    def answer(received: Received) -> int:
        came.append(received)
        return 204

    with Receiver(answer) as receiver, requests.Session() as session:
        assert session.post(receiver.url, data=BODY, headers={"X-NoteFlow-Event": "x"}).status_code == 204
        assert session.post(receiver.url, data=b"").status_code == 204
    assert [each.body for each in came] == [BODY, b""]
    assert came[0].headers["x-noteflow-event"] == "x"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: 1048577", 413),
        ("Content-Length: -1", 400),
        ("Content-Length: x", 400),
        ("Content-Length: 1_0", 400),
        ("Content-Length: ", 400),
        ("Content-Length: \u00b2", 400),
        (f"Content-Length: {'9' * 5000}", 400),
        ("Content-Length: 2\r\nContent-Length: 3", 400),
        ("Transfer-Encoding: chunked", 400),
    ],
)
def test_a_length_that_no_payload_has_is_refused(head: str, status: int) -> None:
    """Before anything is read."""
    with Receiver(lambda _: 200) as receiver, socket.create_connection((HOST, port_of(receiver))) as line:
        line.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode("latin-1"))
        assert line.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("sent", [b"GARBAGE\r\n\r\n", b"\x16\x03\x01\xff\r\n", b"POST / HTTP/9.9.9\r\n\r\n"])
def test_what_is_no_request_is_answered_with_a_status_too(sent: bytes) -> None:
    """Python's own would answer as HTTP/0.9 did, without one."""
    with Receiver(lambda _: 200) as receiver, socket.create_connection((HOST, port_of(receiver))) as line:
        line.sendall(sent)
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_breaks_off_is_answered_400() -> None:
    """And given to nobody."""
    came: list[Received] = []

    def answer(received: Received) -> int:
        came.append(received)
        return 200

    with (
        Receiver(answer) as receiver,
        socket.create_connection((HOST, port_of(receiver))) as line,
    ):
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    assert came == []


def test_callers_that_go_away_are_nothing_to_talk_about(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither is the next one kept waiting."""
    with Receiver(lambda _: 200) as receiver:
        socket.create_connection((HOST, port_of(receiver))).close()
        with socket.create_connection((HOST, port_of(receiver))) as line:
            line.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert requests.post(receiver.url, data=BODY, timeout=PATIENCE_S).status_code == 200
    assert capfd.readouterr().err == ""


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.rsplit(":", 1)[1].rstrip("/"))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """`listen` on a free port, and the secret that it has made."""
    command = [sys.executable, "-u", "-m", "noteflow_hooks.cli", "listen", "--port", "0", "--status", "202"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        welcome = [process.stdout.readline() for _ in range(6)]
        yield process, "".join(welcome)
        process.kill()


def test_listen_says_how_to_register_it_verifies_and_ends_quietly(listener: Listener) -> None:
    """The whole way of a newcomer's first webhook."""
    process, welcome = listener
    found = re.search(r"webhooks add (http://127\.0\.0\.1:\d+/) --secret (whsec_\S+) --events meeting", welcome)
    assert found is not None, welcome
    url, secret = found.groups()
    headers = {"X-NoteFlow-Event": "meeting.completed", "X-NoteFlow-Signature": sign(BODY, secret)}
    assert requests.post(url, data=BODY, headers=headers, timeout=PATIENCE_S).status_code == 202
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "X-NoteFlow-Signature   verified\n  Standard Webhooks      absent" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\xff\x00", {}),
        (b"<html>", {}),
        (b"[" * 30_000, {}),
        (BODY, {"webhook-id": "x", "webhook-timestamp": "1" * 400, "webhook-signature": "v1,x"}),
    ],
)
def test_listen_answers_whatever_comes(listener: Listener, body: bytes, headers: dict[str, str]) -> None:
    """With 400 to what it can't read; wrong headers are a verdict that it prints."""
    process, welcome = listener
    [url] = re.findall(r"http://127\.0\.0\.1:\d+/", welcome)[:1]
    assert requests.post(url, data=body, headers=headers, timeout=PATIENCE_S).status_code == (202 if headers else 400)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert ("WRONG" in printed) == bool(headers)
    assert "Traceback" not in printed


def test_a_port_in_use_is_one_line() -> None:
    """With the port."""
    with closing(socket.create_server((HOST, 0))) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "noteflow_hooks.cli", "listen", "--port", port, "--secret", generate_secret()]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"noteflow-hooks: --port is {port}, where this can't listen: Address already in use\n"
