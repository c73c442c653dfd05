"""Whatever is parsed that others wrote: by chance and by hypothesis, only the errors that are documented come of it."""

from __future__ import annotations

import json
import string
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES
from noteflow_hooks.domain.headers import check_headers
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.domain.publishing import event_from_json
from noteflow_hooks.domain.secrets import check_secret
from noteflow_hooks.domain.urls import host_of, parse_url
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.reply import BODY_LIMIT, Reply
from noteflow_hooks.executor.outcome import answered, parse_retry_after
from noteflow_hooks.signing import generate_secret, sign, sign_standard, verify_signature, verify_standard
from tests.support.arrived import Arrived
from tests.support.builders import NOON, a_payload, a_webhook

if TYPE_CHECKING:
    from collections.abc import Callable

#: The same examples on every run; nothing is kept beside the sources.
fixed: Final = settings(
    max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
#: Text of all kinds, lone surrogates among it.
TEXT: Final = st.text(st.characters(codec=None, exclude_categories=()))
SECRET: Final = generate_secret()
URL_PARTS: Final = (
    "https://", "http://", "//", "/", "\\", "@", ":", "#", "?", "%", "[", "]", "::1", "127.0.0.1", "0x7f.1",
    "localhost", "example.com", ".", "xn--", "ß", "℀", "\u200d", "\x00", "\r\n", " ", "443", "99999", "a" * 64,
    "a" * 300, "%2e",
)  # fmt: skip
REPLY_PARTS: Final = (
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.0 500 no\r\n", b"HTTP/1.1 103 Hints\r\n",
    b"HTTP/1.1 999\r\n", b"HTTP/2 200\r\n", b"\r\n", b"\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 9999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Retry-After: 5\r\n", b"Retry-After: 1e999\r\n", b"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
    b"Connection: keep-alive\r\n", b"X\r\n", b"X:\xff\r\n", b" folded\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"ffffffffff\r\n", b"-5\r\n", b"hello", b"\x00\xff", b"x" * 70_000,
)  # fmt: skip
DATE_PARTS: Final = (
    "Wed, ", "21 ", "Oct ", "99999 ", "2015 ", "07:28:00 ", "GMT", "+9999", "-0000", "5", ".", "1e5", "\x00",
)  # fmt: skip


def allowed(call: Callable[[], object], error: type[Exception]) -> bool:
    """Return whether the call took it; raise whatever else it raises than that error."""
    try:
        call()
    except error:
        return False
    return True


def joined(parts: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Make texts of the parts, of printable characters and of any others."""
    pieces = st.one_of(st.sampled_from(parts), st.text(string.printable, max_size=5), TEXT)
    return st.lists(pieces, max_size=12).map("".join)


@fixed
@given(joined(URL_PARTS))
def test_a_url_is_parsed_or_refused(url: str) -> None:
    """What is parsed is parsed again to the same: a stored URL is parsed anew for each attempt."""
    host_of(url)
    for loopback in (False, True):
        if allowed(lambda: parse_url(url, allow_http_loopback=loopback), InvalidInputError):  # noqa: B023 - called at once
            parsed = parse_url(url, allow_http_loopback=loopback)
            assert str(parsed).isascii()
            assert parse_url(str(parsed), allow_http_loopback=loopback) == parsed


@fixed
@given(st.binary(), st.one_of(TEXT, st.none(), st.integers(), st.binary()), st.one_of(TEXT, st.none()))
def test_a_signature_is_good_or_not_and_no_error(body: bytes, signature: Any, secret: Any) -> None:  # noqa: ANN401 - malformed in every way
    """Nor is one whose secret is none."""
    assert verify_signature(body, signature, SECRET) is False
    assert verify_signature(body, sign(body, SECRET), SECRET) is True
    assert verify_signature(body, signature, secret) in {True, False}


@fixed
@given(
    st.binary(), st.dictionaries(st.sampled_from(["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "x"]), TEXT)
)
def test_standard_signatures_are_good_or_not_and_no_error(body: bytes, headers: dict[str, str]) -> None:
    """Whatever of the three headers is missing or malformed."""
    assert verify_standard(body, headers, SECRET) is False
    good = {"webhook-id": "m", "webhook-timestamp": "5", "webhook-signature": sign_standard("m", 5, body, [SECRET])}
    assert verify_standard(body, good, SECRET, now=5) is True


@fixed
@given(st.one_of(joined(DATE_PARTS), st.floats().map(str), st.integers().map(str)))
def test_a_retry_after_is_a_wait_or_nothing(value: str) -> None:
    """Never an error, and never a wait that lies in the past."""
    wait = parse_retry_after(value, now=NOON)
    assert wait is None or wait >= timedelta(0)


@fixed
@given(st.lists(st.one_of(st.sampled_from(REPLY_PARTS), st.binary(max_size=20)), max_size=12).map(b"".join))
def test_a_reply_is_an_outcome_or_a_failed_exchange(data: bytes) -> None:
    """What is kept of its body can be stored, and a connection that is used again has nothing left in it."""
    wire = Arrived(data)
    reply = Reply(wire)
    if not allowed(reply.begin, ExchangeError):
        return
    outcome = answered(reply, a_webhook(secret=SECRET, headers=(("X-Key", "value-of-it"),)), now=NOON)
    assert outcome.status_code is not None
    assert 100 < outcome.status_code < 1000
    assert outcome.response_body is not None
    assert "\x00" not in outcome.response_body
    assert len(outcome.response_body.encode()) <= RESPONSE_KEPT_BYTES
    assert outcome.retry_after is None or outcome.retry_after >= timedelta(0)
    assert len(data) <= 2 * BODY_LIMIT or not reply.is_reusable


JSON: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
)


@fixed
@given(
    st.one_of(
        TEXT,
        JSON.map(json.dumps),
        st.dictionaries(st.one_of(st.sampled_from([*a_payload(), "event", "timestamp"]), TEXT), JSON).map(
            lambda fields: json.dumps(a_payload() | fields)
        ),
    ),
    st.one_of(st.none(), TEXT),
)
def test_a_published_payload_is_an_event_or_refused(text: str, key: str | None) -> None:
    """An event's payload is one flat object, no longer than allowed, that PostgreSQL takes."""

    def publish() -> bytes:
        return event_from_json(uuid4(), uuid4(), "meeting.completed", text, idempotency_key=key, now=NOON).payload

    if allowed(publish, InvalidInputError):
        sent = publish()
        assert len(sent) <= PAYLOAD_LIMIT_BYTES
        fields = json.loads(sent.decode())
        assert not any(isinstance(value, (list, dict)) for value in fields.values())
        assert not any("\x00" in text for text in (*fields, *fields.values()) if isinstance(text, str))


@fixed
@given(TEXT, st.lists(st.tuples(TEXT, TEXT)))
def test_secrets_and_headers_are_taken_or_refused(secret: str, headers: list[tuple[str, str]]) -> None:
    """What is taken is ASCII on one line."""
    for given_secret in (secret, f"whsec_{secret}"):
        if allowed(lambda: check_secret(given_secret), InvalidInputError):  # noqa: B023 - called at once
            assert given_secret.isprintable()
    if allowed(lambda: check_headers(headers), InvalidInputError):
        assert all((name + value).isascii() for name, value in headers)
