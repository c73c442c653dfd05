"""A dial looks whether the other side has answered before it waits, and what it waits for ends with the deadline."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.stopwatch import answered_within
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.deliveries import AttemptResult

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def full_listener(stack: ExitStack) -> Iterator[socket.socket]:
    """A listener whose queue is full: the kernel lets every further SYN go unanswered until one is accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        for _ in range(2):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        yield listener


def post(port: int, *, timeout_ms: int) -> AttemptResult:
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True))
    webhook = a_webhook(url=f"http://127.0.0.1:{port}/", timeout_ms=timeout_ms)
    try:
        return executor.post(Claim(a_delivery(), webhook, b"{}"))
    finally:
        executor.close()


def test_an_address_that_stays_silent_costs_the_timeout_and_no_more() -> None:
    """No answer to the SYN comes."""
    with ExitStack() as stack, full_listener(stack) as listener, answered_within(40):
        result = post(listener.getsockname()[1], timeout_ms=300)
    assert result.error_kind is ErrorKind.TIMEOUT


def test_an_address_that_answers_late_is_waited_for() -> None:
    """The kernel repeats the SYN, and the POST goes out as soon as that is answered."""
    with ExitStack() as stack, full_listener(stack) as listener, ThreadPoolExecutor(1) as threads:
        listener.settimeout(PATIENCE_S)
        posting = threads.submit(post, listener.getsockname()[1], timeout_ms=60_000)
        stack.close()
        while not posting.done():
            accepted, _ = listener.accept()
            accepted.settimeout(PATIENCE_S)
            with accepted:
                if accepted.recv(1):
                    accepted.sendall(ANSWER)
                    break
    assert posting.result().status_code == 204


def test_a_port_without_a_listener_refuses_at_once() -> None:
    """It is the endpoint's failure, in the kernel's words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = post(port, timeout_ms=60_000)
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, "Connection refused")
