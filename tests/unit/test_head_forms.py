"""Headers as they go on record: nothing secret, nothing without bounds, nothing that can't be stored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.exchanges import Blank, Headers, known_of
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.executor.head_forms import heard_headers
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.key_pairs import generate_key_pair
from tests.support.builders import NOON, a_delivery, a_webhook

SECRET: Final = "the-secret-of-this-endpoint"
CUSTOM: Final = "Bearer 9f8e7d6c5b4a39281706"
RANKS: Final = [None, Rank(1), Rank(7, gap=2), Rank(7, is_late=True), Rank(9, gap=12, is_late=True)]


def known(claim: Claim) -> dict[Blank, str]:
    delivery = claim.delivery
    second = int(NOON.timestamp())
    return known_of(delivery_id=delivery.id, event_id=delivery.event_id, batch_id=None, second=second)


def shown(headers: Headers, claim: Claim) -> list[tuple[str, str]]:
    return list(headers.form.filled(headers.values, known(claim)))


def heard(*lines: bytes, **webhook: object) -> list[tuple[str, str]]:
    fields = b"".join(b"\r\n" + line for line in lines)
    headers = heard_headers(fields, a_webhook(**webhook))
    return list(headers.form.filled(headers.values, {}))


def a_claim(form: Format, rank: Rank | None, *, signing: Signing = Signing.HMAC) -> Claim:
    url = "https://hooks.slack.com/services/T0/B0/x1y2z3" if form is Format.SLACK else "https://example.com/hook?k=v"
    webhook = a_webhook(
        url=url,
        secret=None if form is Format.SLACK else SECRET,
        headers=() if form is Format.SLACK else (("Authorization", CUSTOM), ("X-Team", "blue-team-77")),
        options=EndpointOptions(format=form),
        signing=signing,
        signing_key=generate_key_pair(),
    )
    delivery = a_delivery(webhook_id=webhook.id)
    if form is not Format.NOTEFLOW:
        delivery = delivery._replace(rendering=Rendering.of(webhook).stored)
    payload = json.dumps({"event": delivery.event_type, "meeting_id": "m-1", "title": "Weekly"}).encode()
    return Claim(delivery, webhook, payload, rank=rank, facts=EventFacts("m-1", NOON))


@pytest.mark.parametrize("rank", RANKS, ids=str)
@pytest.mark.parametrize("form", [Format.NOTEFLOW, Format.STANDARD, Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY])
def test_what_is_on_record_is_what_was_sent(form: Format, rank: Rank | None) -> None:
    """Name by name in the order sent, of the first request and of those that share its form; secrets are marked."""
    claim = a_claim(form, rank)
    for payload in (claim.payload, claim.payload + b" " * 1000, claim.payload):
        endpoint = PreparedEndpoint(claim.webhook, user_agent="test", allow_http_loopback=False)
        own = replace(claim, payload=payload, delivery=claim.delivery._replace(id=uuid4(), event_id=uuid4()))
        request = request_of(endpoint, own, NOON)
        lines = [line.partition(": ") for line in request.head.decode("latin-1").split("\r\n")[1:-2]]
        hidden = {"authorization", "x-team", "x-noteflow-signature", "webhook-signature"}
        expected = [(name, "[redacted]" if name.lower() in hidden else value) for name, _, value in lines]
        assert shown(request.sent, own) == expected
        assert sum(value == "[redacted]" for _, value in expected) == 4


@pytest.mark.parametrize("signing", list(Signing))
def test_no_signature_is_on_record(signing: Signing) -> None:
    """With one, who may only read could send the receiver what it takes for ours."""
    claim = a_claim(Format.NOTEFLOW, None, signing=signing)
    endpoint = PreparedEndpoint(claim.webhook, user_agent="test", allow_http_loopback=False)
    pairs = dict(shown(request_of(endpoint, claim, NOON).sent, claim))
    assert pairs["webhook-signature"] == "[redacted]"
    assert pairs.get("X-NoteFlow-Signature", "[redacted]") == "[redacted]"


def test_of_a_preset_there_is_no_path() -> None:
    """Its URL is its credential."""
    claim = a_claim(Format.SLACK, Rank(3))
    endpoint = PreparedEndpoint(claim.webhook, user_agent="test", allow_http_loopback=False)
    pairs = shown(request_of(endpoint, claim, NOON).sent, claim)
    assert ("Host", "hooks.slack.com") in pairs
    assert "x1y2z3" not in str(pairs)
    assert not [name for name, _ in pairs if name.lower().startswith(("x-noteflow", "webhook"))]


def test_endpoints_that_have_all_in_common_share_a_form() -> None:
    """So that what they have in common is stored once; a host and a length are blanks."""
    forms = set()
    for host in ("one.example", "two.example"):
        webhook = a_webhook(url=f"https://{host}/", secret=SECRET)
        endpoint = PreparedEndpoint(webhook, user_agent="test", allow_http_loopback=False)
        forms.add(endpoint.usual(a_delivery(webhook_id=webhook.id), b"{}", NOON).sent.form)
    assert len(forms) == 1


def test_what_may_be_a_credential_is_marked_by_its_name() -> None:
    """Whatever its value is."""
    pairs = heard(b"Set-Cookie: a=b", b"X-Session-Id: 1", b"X-Api-Key: k", b"Authorization: x", b"X-CSRF-Token: t")
    assert {value for _, value in pairs} == {"[redacted]"}
    assert heard(b"WWW-Authenticate: Basic realm=x") == [("WWW-Authenticate", "Basic realm=x")]


@pytest.mark.parametrize("said", [CUSTOM, CUSTOM.removeprefix("Bearer "), SECRET, CUSTOM.replace(" ", "%20")])
def test_an_echo_of_a_credential_is_marked(said: str) -> None:
    """Under whatever name, and however it is encoded."""
    pairs = heard(f"X-Echo: <{said}>".encode(), headers=(("Authorization", CUSTOM),), secret=SECRET)
    assert pairs == [("X-Echo", "<[redacted]>")]


def test_names_and_values_come_as_they_were() -> None:
    """In their order, with doubles, in their case."""
    assert heard(b"server:  nginx ", b"X-B: 1", b"x-b:2", b"Date: Sun, 29 Nov 2026 21:00:00 GMT", b"Empty:") == [
        ("server", "nginx"),
        ("X-B", "1"),
        ("x-b", "2"),
        ("Date", "Sun, 29 Nov 2026 21:00:00 GMT"),
        ("Empty", ""),
    ]


def test_many_and_long_ones_are_cut_and_it_says_so() -> None:
    """At most 64, and 8 KiB of them."""
    many = heard(*(b"X-%d: v" % number for number in range(100)))
    assert (len(many), many[-1]) == (65, ("[cut]", "36 more"))
    long = heard(b"X-Long: " + b"a" * 60_000, b"X-Next: b")
    assert [name for name, _ in long] == ["X-Long", "[cut]"]
    assert long[0][1].endswith("a[cut]")
    assert len(long[0][1]) < 8_192 + 16
    wide = heard(b"X-Wide: " + "\u20ac".encode() * 20_000)
    assert len(wide[0][1].encode()) < 8_192 + 16


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_whatever_was_said_can_be_stored(values: list[bytes]) -> None:
    """As text without control characters, on a line of its own."""
    clean = [value.replace(b"\r", b"").replace(b"\n", b"") for value in values]
    headers = heard_headers(b"".join(b"\r\nX-Said: " + value for value in clean), a_webhook())
    for text in headers.values:
        text.encode()
        assert not any(ord(each) < 32 and each != "\t" for each in text)
        assert len(text.splitlines()) <= 1
