"""The benchmark's own processes, and how they are spoken to."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.bench.empty_server import METHOD
from noteflow_hooks.bench.http2 import Connection, head
from noteflow_hooks.bench.processes import LineProcess
from noteflow_hooks.errors import NoteFlowHooksError
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[LineProcess]:
    with LineProcess("noteflow_hooks.bench.receiver") as running:
        yield running


def post(port: int, path: str, *, webhook_id: str) -> socket.socket:
    """Send a POST and return its connection."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nwebhook-id: {webhook_id}\r\nContent-Length: 2\r\n\r\n"
    connection.sendall(head.encode() + b"{}")
    connection.settimeout(PATIENCE_S)
    return connection


def test_the_receiver_notes_what_it_took(receiver: LineProcess) -> None:
    """By the id's first receipt; what it answers with 500 it has not taken."""
    [port] = receiver.greeting
    first, second = "1".rjust(36, "0"), "2".rjust(36, "0")
    for path, webhook_id, status in (("/ok/1", first, b"200"), ("/ok/2", first, b"200"), ("/fail", second, b"500")):
        with post(port, path, webhook_id=webhook_id) as connection:
            assert connection.recv(100).split()[1] == status
    counted, arrivals = receiver.ask("count"), receiver.ask("arrivals")
    assert (counted["posts"], list(arrivals)) == (2, [first])
    assert arrivals[first] <= counted["last"]
    receiver.ask("reset")
    assert receiver.ask("count")["posts"] == 0


def test_the_receiver_hangs_up_when_it_is_told_to(receiver: LineProcess) -> None:
    """Whoever waits would else wait for its own timeout."""
    [port] = receiver.greeting
    with post(port, "/hang", webhook_id="3".rjust(36, "0")) as connection, post(port, "/ok", webhook_id="4") as other:
        assert other.recv(100)
        connection.settimeout(0.1)
        until(lambda: receiver.ask("release") is None and _has_ended(connection), what="it hangs up")


def _has_ended(connection: socket.socket) -> bool:
    """Tell whether the other side has hung up; it may have been told to before it had the request."""
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False


def test_a_process_that_has_ended_is_named() -> None:
    """In place of an answer that never comes."""
    with LineProcess("noteflow_hooks.bench.receiver") as receiver:
        with pytest.raises(NoteFlowHooksError, match="receiver has ended"):
            receiver.ask("nonsense")
        with pytest.raises(NoteFlowHooksError, match="receiver has ended"):
            receiver.ask("count")


@pytest.fixture
def empty_server() -> Iterator[str]:
    with LineProcess("noteflow_hooks.bench.empty_server") as server:
        yield f"127.0.0.1:{server.greeting}"


def test_prepared_calls_are_answered_in_any_order(empty_server: str) -> None:
    """Each by the number of its call; more than the first window lets through is sent as the server allows it."""
    with Connection(empty_server) as connection:
        calls = [connection.start(head(METHOD, token="t"), bytes(1_000)) for _ in range(200)]
        assert [connection.answer(call) for call in reversed(calls)] == [b""] * 200


class _Noted:
    """A socket that notes how often something is sent."""

    def __init__(self, own: socket.socket) -> None:
        self.own = own
        self.sends = 0

    def sendall(self, data: bytes) -> None:
        self.sends += 1
        self.own.sendall(data)

    def recv(self, most: int) -> bytes:
        return self.own.recv(most)

    def shutdown(self, how: int) -> None:
        self.own.shutdown(how)

    def close(self) -> None:
        self.own.close()


def test_a_prepared_call_is_sent_at_once_and_in_one_piece(empty_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and message apart would be two packets, the second of which may wait 40 ms for the first one's receipt."""
    with Connection(empty_server) as connection:
        # Whatever the server's settings ask for has been sent once a call is answered.
        connection.answer(connection.start(head(METHOD, token="t"), b""))
        noted = _Noted(connection._socket)  # noqa: SLF001 - what it sends by
        assert noted.own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        monkeypatch.setattr(connection, "_socket", noted)
        for _ in range(3):
            connection.answer(connection.start(head(METHOD, token="t"), bytes(500)))
    assert noted.sends == 3


def test_a_prepared_call_that_is_refused_is_no_answer(empty_server: str) -> None:
    """Its error is in what is not read; the next call is answered."""
    with Connection(empty_server) as connection:
        with pytest.raises(NoteFlowHooksError, match="a call was refused"):
            connection.answer(connection.start(head("/bench.Empty/Other", token="t"), b""))
        assert connection.answer(connection.start(head(METHOD, token="t"), b"")) == b""


def test_a_server_that_goes_leaves_no_call_waiting() -> None:
    """Whoever waits for an answer is told."""
    with LineProcess("noteflow_hooks.bench.empty_server") as server:
        connection = Connection(f"127.0.0.1:{server.greeting}")
    with connection, pytest.raises(NoteFlowHooksError, match="has closed the connection"):
        connection.answer(1)


def a_task(*, method: str = METHOD) -> str:
    """Return what the calling client is told."""
    return json.dumps({"method": method, "messages": ["", "00"], "tokens": ["t", "u"], "calls": 5, "callers": 2})


def test_the_calling_client_says_when_it_began(empty_server: str) -> None:
    """By the clock that all processes of a machine share."""
    with LineProcess("noteflow_hooks.bench.calling", empty_server) as client:
        before = time.monotonic()
        assert before < client.ask(a_task()) < time.monotonic()


def test_the_calling_client_names_a_call_that_fails(empty_server: str) -> None:
    """A figure of calls that were refused would be none."""
    with (
        LineProcess("noteflow_hooks.bench.calling", empty_server) as client,
        pytest.raises(NoteFlowHooksError, match=r"/bench\.Empty/Other failed: UNIMPLEMENTED"),
    ):
        client.ask(a_task(method="/bench.Empty/Other"))


def test_a_process_that_can_not_do_it_says_why() -> None:
    """The publishing client, for one, where no server answers."""
    with (
        LineProcess("noteflow_hooks.bench.publishing", "127.0.0.1:1") as client,
        pytest.raises(NoteFlowHooksError, match=r"no server answers at 127\.0\.0\.1:1"),
    ):
        client.ask(json.dumps([{"tokens": ["t"], "count": 1}]))
