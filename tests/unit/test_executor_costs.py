"""What is done with a receiver's bytes takes time that grows with their number, whatever they are."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES
from noteflow_hooks.executor.head_forms import heard_headers
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.reply import BODY_LIMIT, HEAD_LIMIT, Reply
from noteflow_hooks.executor.outcome import answered
from noteflow_hooks.executor.redaction import LONGEST, without_credentials
from noteflow_hooks.printable import escape
from tests.support.arrived import Arrived
from tests.support.builders import NOON, a_webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.webhooks import WebhookConfig

KEEP: Final = RESPONSE_KEPT_BYTES
READ: Final = KEEP + LONGEST
#: Four times as much may take so many times as long: linear work takes four times, quadratic work sixteen.
GROWTH: Final = 9
#: How many calls a byte may take, and how many any answer may.
CALLS_A_BYTE, CALLS_AT_ALL = 6, 1_500
#: An answer that is made to be hard on us may take so many times as long as another of the same length.
HOSTILE: Final = 40
OK: Final = b"HTTP/1.1 200 OK\r\n"

#: Header values and the answer to them, both in proportion to a number.
REPEATING: Final[dict[str, Callable[[int], tuple[list[str], bytes]]]] = {
    "values that begin at every byte": lambda n: (["a" * n + c for c in "\"'&"] + ["c" * 8], b"c" * 8 + b"a" * 7 * n),
    "values that differ in their middle": lambda n: (["a" * (n // 2) + "b" + "a" * (n // 2)], b"a" * 8 * n),
    "values that differ at their start": lambda n: (["b" + "a" * n], b"a" * 8 * n),
    "percent signs": lambda n: (["a" * n + "%"], b"%61" * 2 * n),
    "broken percent signs": lambda n: (["a" * n + "%"], b"%%%6" * 2 * n),
    "HTML": lambda n: (["a" * n + "&"], b"&#97;" * 2 * n),
    "broken HTML": lambda n: (["a" * n + "&"], b"&#&a&#x" * 2 * n),
    "escapes": lambda n: (["a" * n + "\\"], b"\\u0061" * 2 * n),
    "backslashes": lambda n: (["\\" * n + "a"], b"\\" * 8 * n),
    "matches without end": lambda n: (["abcabcabc"], b"abcabcabc" * n),
    "quotes in a value": lambda n: (['a="' * (n // 3)], b'a="' * 2 * n),
}
#: Heads in proportion to a number, at most so long that they are read whole.
HEADS: Final[dict[str, Callable[[int], bytes]]] = {
    "blanks around a value": lambda n: OK + b"X:" + b" " * n + b"x" + b" " * n + b"\r\n",
    "blanks in the status line": lambda n: b"HTTP/1.1" + b" " * n + b"200 " + b" " * n + b"\r\n",
    "colons": lambda n: OK + b":" * 2 * n + b"\r\n",
    "a name": lambda n: OK + b"x" * 2 * n + b"\r\n",
    "lengths": lambda n: OK + b"Content-Length: " + b"1," * n + b"\r\n",
    "codings": lambda n: OK + b"Transfer-Encoding: " + b"x," * n + b"chunked\r\n",
    "line ends": lambda n: OK + b"X:" + b"\r" * 2 * n + b"\n",
    "times to keep alive": lambda n: OK + b"Keep-Alive: " + b",timeout" * (n // 4) + b"\r\n",
    "digits to keep alive": lambda n: OK + b"Keep-Alive: timeout=" + b"9" * 2 * n + b"\r\n",
    "digits to retry after": lambda n: b"HTTP/1.1 503 \r\nRetry-After: " + b"9" * 2 * n + b"\r\n",
    "dates to retry after": lambda n: b"HTTP/1.1 503 \r\nRetry-After: " + b"Sat, 31 " * (n // 4) + b"\r\n",
    "interim answers": lambda n: b"HTTP/1.1 100 \r\n\r\n" * (n // 8) + OK,
}


def cost(work: Callable[[], object]) -> float:
    """Return the processor time that it takes, in seconds, where nothing else is in its way."""

    def once() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return min(once() for _ in range(5))


def endpoint(values: list[str]) -> WebhookConfig:
    return a_webhook(headers=tuple((f"X-{number}", value) for number, value in enumerate(values)))


def read(data: bytes, webhook: WebhookConfig) -> None:
    """Do all that is done with an answer."""
    wire = Arrived(data)
    reply = Reply(wire)
    try:
        reply.begin()
    except ExchangeError:
        return
    answered(reply, webhook, now=NOON)
    heard_headers(reply.fields, webhook)
    assert reply.kept_s >= 0


@pytest.mark.parametrize("repeating", REPEATING.values(), ids=list(REPEATING))
def test_redaction_takes_time_in_proportion(repeating: Callable[[int], tuple[list[str], bytes]]) -> None:
    """Four times the credentials and four times the answer take about four times as long."""

    def took(count: int) -> float:
        values, body = repeating(count)
        webhook = endpoint(values)
        return cost(lambda: without_credentials(body, webhook, keep=len(body)))

    assert took(4_000) <= GROWTH * took(1_000)


@pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))
def test_a_head_takes_time_in_proportion(head: Callable[[int], bytes]) -> None:
    """Whatever a line of it is made of."""

    def took(count: int) -> float:
        data = head(count) + b"\r\n"
        assert len(data) < HEAD_LIMIT
        return cost(lambda: read(data, a_webhook()))

    assert took(28_000) <= GROWTH * took(7_000)


def test_an_answer_that_is_made_for_it_takes_about_as_long_as_any() -> None:
    """One that has a credential in it, and the beginning of others at each of its bytes."""
    webhook = endpoint([*("a" * 4_000 + each for each in "\"'&"), "cccccccc"])
    hostile = b"cccccccc" + b"a" * 28_664
    innocent = b"dddddddd" + b"e" * 28_664
    took = [cost(lambda body=body: without_credentials(body, webhook, keep=KEEP)) for body in (hostile, innocent)]  # type: ignore[misc]  # mypy knows no lambda's defaults
    assert took[0] <= HOSTILE * took[1]


def calls(work: Callable[[], object]) -> int:
    """Return how many functions it calls, of Python's and of C's."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


PARTS: Final = st.sampled_from(
    [
        b"a", b'"', b"&", b"%", b"%61", b"%6", b"&#97;", b"&#", b"&quot;", b"&x;", b"\\", b"\\u0061", b"\\u", b"\\x61",
        b"\\\\", b"\r", b"\n", b"\r\n", b":", b" ", b"\t", b"=", b"a=", b"HTTP/1.1 100 \r\n\r\n", b"X: y\r\n", b"0\r\n",
        b"1\r\na\r\n", b"\xff", b"\x00", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"aaaaaaaa",
    ]
)  # fmt: skip
#: Long answers of few parts, over and over: what is hard on a parser repeats.
ANSWERS: Final = st.builds(
    lambda start, parts, count, end: start + b"".join(parts) * count + end,
    st.sampled_from([b"", OK, OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 503 \r\nX:"]),
    st.lists(PARTS, min_size=1, max_size=6),
    st.integers(1, 3_000),
    st.binary(max_size=8),
)
VALUES: Final = st.builds(
    lambda parts, count, end: ("".join(parts) * count + end)[-4_000:],
    st.lists(st.sampled_from(["a", "%61", "&#97;", '"', "\\", 'a="', "; b=", "Basic "]), min_size=1, max_size=4),
    st.integers(1, 1_000),
    st.sampled_from(["a", '"', "&", "%"]),
)


@settings(max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANSWERS, st.lists(VALUES, max_size=4))
def test_an_answer_costs_a_few_calls_a_byte(data: bytes, values: list[str]) -> None:
    """Head, framing, redaction and all, with what its endpoint's credentials cost beside it."""
    webhook = endpoint(values)
    length = min(len(data), HEAD_LIMIT + BODY_LIMIT) + sum(map(len, values))
    assert calls(lambda: read(data, webhook)) <= CALLS_AT_ALL + CALLS_A_BYTE * length


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(ANSWERS)
def test_printing_an_answer_costs_a_few_calls_a_character(data: bytes) -> None:
    """Commands show what was kept of it."""
    text = data.decode("utf-8", "replace")
    assert calls(lambda: escape(text)) <= CALLS_AT_ALL + CALLS_A_BYTE * len(text)
