"""The plain answer is taken at once, and never otherwise than the reader that goes by all the rules would take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noteflow_hooks.executor.http import reply as reply_module
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.plain import plain_answer
from noteflow_hooks.executor.http.reply import HEADERS_LIMIT, Reply
from noteflow_hooks.executor.outcome import answered
from tests.support.arrived import Arrived
from tests.support.builders import NOON, a_webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

WEBHOOK: Final = a_webhook(headers=(("X-Key", "value-of-it"),))
OK: Final = b"HTTP/1.1 200 OK\r\n"
#: Each is taken at once.
PLAIN: Final = {
    "a length and a body": OK + b"Content-Length: 2\r\n\r\nok",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    "many headers": OK + b"X: y\r\n" * (HEADERS_LIMIT - 1) + b"content-length:2\t\r\n\r\nok",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content, with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
    "a failure that asks for a wait": b"HTTP/1.1 503 \r\nRetry-After: 7\r\nretry-after: 9\r\nContent-Length: 0\r\n\r\n",
    "the last one": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "one that is kept for a while": OK + b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
    "the connection's header twice": OK + b"Connection: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}
#: None of them is.
NOT_PLAIN: Final = {
    "a byte too many": OK + b"Content-Length: 2\r\n\r\nok!",
    "a byte too few": OK + b"Content-Length: 3\r\n\r\nok",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "two lengths in one": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "a length with a sign": OK + b"Content-Length: +2\r\n\r\nok",
    "a length with a zero before it": OK + b"Content-Length: 02\r\n\r\nok",
    "no length": OK + b"\r\nok",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a folded line": OK + b"X: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
    "a bare line end": OK + b"X: y\nContent-Length: 2\r\n\r\nok",
    "a bare return": OK + b"X: y\rContent-Length: 2\r\n\r\nok",
    "a blank before the colon": OK + b"Content-Length : 2\r\n\r\nok",
    "a line without a colon": OK + b"X\r\nContent-Length: 2\r\n\r\nok",
    "an interim answer": b"HTTP/1.1 103 \r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
    "another protocol": b"HTTP/1.1 101 \r\nContent-Length: 0\r\n\r\n",
    "not modified": b"HTTP/1.1 304 \r\nContent-Length: 0\r\n\r\n",
    "an older version": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no content, with some": b"HTTP/1.1 204 \r\n\r\nok",
    "too many headers": OK + b"X: y\r\n" * HEADERS_LIMIT + b"Content-Length: 2\r\n\r\nok",
    "an empty line first": b"\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
    "half a head": OK + b"Content-Length: 2\r\n",
}
PARTS: Final = st.sampled_from(
    [
        OK, b"HTTP/1.1 200\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 304 \r\n", b"HTTP/1.1  500 no\r\n",
        b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 103 \r\n\r\n", b"HTTP/1.1 099 \r\n", b"\r\n", b"\n", b"\r", b" ", b"\t",
        b":", b"X: y\r\n", b"X:\xff\r\n", b"X\r\n", b" folded\r\n", b"Content-Length: 2\r\n", b"content-LENGTH:2\r\n",
        b"Content-Length: 2 \t\r\n", b"Content-Length: 02\r\n", b"Content-Length: 2,2\r\n", b"Content-Length: 0\r\n",
        b"Content-Length:\r\n", b"Content-Length: \xb2\r\n", b"X-Content-Length: 9\r\n", b"Connection: close\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: Keep-Alive\r\n", b"Keep-Alive: timeout=4\r\n",
        b"Retry-After: 3\r\n", b"Retry-After: \xa03\r\n", b"ok", b"\r\n\r\n", b"\r\nok", b"0\r\n\r\n", b"\x00",
    ]
)  # fmt: skip
#: Many of them plain, more of them nearly so, and some nothing of the kind.
ANSWERS: Final = st.builds(
    lambda start, lines, end: start + b"".join(lines) + end,
    st.sampled_from([OK, OK, b"HTTP/1.1 503 Busy\r\n", b"HTTP/1.1 204 \r\n", b""]),
    st.lists(PARTS, max_size=7),
    st.sampled_from([b"Content-Length: 2\r\n\r\nok", b"\r\nok", b"\r\n", b""]),
)


def read(pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """Return all that becomes of an answer that comes in these pieces."""
    reply = Reply(Arrived(*pieces))
    try:
        reply.begin()
    except ExchangeError as error:
        return type(error), error.kind, error.message, reply.has_begun
    outcome = answered(reply, WEBHOOK, now=NOON)
    return (*outcome, reply.is_reusable, reply.kept_s, reply.has_begun, reply.header("retry-after"))


def read_by_the_rules(pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """Return the same without the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reply_module, "plain_answer", lambda *_, **__: None)
        return read(pieces)


@pytest.mark.parametrize("data", PLAIN.values(), ids=list(PLAIN))
def test_a_plain_answer_is_taken_at_once(data: bytes) -> None:
    """As the reader by the rules takes it."""
    assert plain_answer(data, headers_limit=HEADERS_LIMIT) is not None
    assert read([data]) == read_by_the_rules([data])


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=list(NOT_PLAIN))
def test_whatever_else_is_left_to_the_rules(data: bytes) -> None:
    """Even where they come to the same."""
    assert plain_answer(data, headers_limit=HEADERS_LIMIT) is None
    assert read([data]) == read_by_the_rules([data])


@settings(max_examples=600, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANSWERS)
def test_answers_of_all_kinds_come_to_the_same_both_ways(data: bytes) -> None:
    """Whole, and cut in two at every byte."""
    for place in range(len(data) + 1):
        pieces = [data[:place], data[place:]]
        assert read(pieces) == read_by_the_rules(pieces)
