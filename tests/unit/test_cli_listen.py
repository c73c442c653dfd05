"""What `listen` prints of a request."""

from __future__ import annotations

import time

import pytest

from noteflow_hooks.cli.commands.listen import answer_to, described, is_json
from noteflow_hooks.cli.support.receiver import Received
from noteflow_hooks.domain.options import Format
from noteflow_hooks.rendering.registry import RENDERERS
from noteflow_hooks.signing import generate_secret, sign, sign_standard
from tests.support.golden import an_occurrence

SECRET = generate_secret()
BATCH = b"""{"type":"batch","id":"b-1","events":[{"id":"e-1","type":"meeting.completed","sequence":7,"data":{}},
{"id":"e-2\\u001b[2J","type":"custom.x","sequence":null}]}"""
BODY = b'{"event":"meeting.completed","title":"\\u001b[31m"}'


def a_request(*, secret: str = SECRET, body: bytes = BODY, sent: bytes | None = None) -> Received:
    """Make a signed request whose body, as it arrives, may be another."""
    now = int(time.time())
    headers = {
        "x-noteflow-event": "meeting.completed",
        "x-noteflow-delivery": "d-1",
        "x-noteflow-signature": sign(body, secret),
        "webhook-id": "e-1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign_standard("e-1", now, body, [secret]),
    }
    return Received(headers, body if sent is None else sent)


def test_both_verdicts_and_the_payload_are_shown() -> None:
    """With control characters written out."""
    shown = described(a_request(), secret=SECRET, status=204)
    assert shown.count("  verified") == 2
    assert "answered               204" in shown
    assert '"title": "\\u001b[31m"' in shown
    assert "\x1b" not in shown


def test_a_signature_over_other_bytes_is_wrong() -> None:
    """Whatever was changed on the way."""
    shown = described(a_request(sent=BODY + b" "), secret=SECRET, status=200)
    assert shown.count("WRONG") == 2


def test_a_signature_by_another_secret_is_wrong() -> None:
    """As of an endpoint that was registered with another one."""
    assert described(a_request(secret=generate_secret()), secret=SECRET, status=200).count("WRONG") == 2


def test_a_request_without_signatures_says_so() -> None:
    """An unsigned endpoint's, or anybody's."""
    shown = described(Received({"x-noteflow-event": "\x1b[2J"}, b"\xff\x00"), secret=SECRET, status=200)
    assert shown.count("absent") == 2
    assert "\x1b" not in shown
    assert "\x00" not in shown


@pytest.mark.parametrize("chosen", Format)
def test_the_format_is_told(chosen: Format) -> None:
    """As far as the request itself shows it; CloudEvents' headers are shown one by one."""
    if (chosen, 1) not in RENDERERS:
        pytest.skip("nothing renders it yet")
    rendered = RENDERERS[chosen, 1](an_occurrence())
    ours = {} if chosen.is_preset else {"x-noteflow-event": "meeting.completed"}
    shown = described(Received({**ours, **dict(rendered.headers)}, rendered.body), secret=SECRET, status=200)
    assert f"  format                 {chosen}\n" in shown
    assert ("  ce-subject             m-2031\n" in shown) == (chosen is Format.CLOUDEVENTS_BINARY)
    assert shown.splitlines()[0].endswith(f"{chosen} message" if chosen.is_preset else "meeting.completed")


ASKING = b'{"event":"webhook.verification","challenge":"a-challenge"}'
ANSWER = b'{"challenge": "a-challenge"}'


@pytest.mark.parametrize(
    "body",
    [ASKING, b'{"type":"webhook.verification","timestamp":"t","data":' + ASKING + b"}"],
    ids=["noteflow", "standard"],
)
def test_a_challenge_is_given_back(body: bytes) -> None:
    """Signed with the secret, or not signed at all; wherever the format has it."""
    assert answer_to(a_request(body=body), secret=SECRET) == ANSWER
    assert answer_to(Received({}, body), secret=SECRET) == ANSWER


@pytest.mark.parametrize("body", [BODY, b'{"event":"webhook.verification","challenge":7}', b"[]", b"7", b"[" * 9999])
def test_nothing_else_is_answered(body: bytes) -> None:
    """Neither other events nor what is no challenge."""
    assert answer_to(Received({}, body), secret=SECRET) is None


def test_a_challenge_that_somebody_else_has_signed_is_not_given_back() -> None:
    """Whoever it was registered by has another secret."""
    assert answer_to(a_request(body=ASKING, secret=generate_secret()), secret=SECRET) is None


@pytest.mark.parametrize("body", [b"NaN", b'{"n": -Infinity}', b"{", b"\xff", b"9" * 5000, b"[" * 100_000])
def test_what_is_no_json_is_known(body: bytes) -> None:
    """What Python alone reads, such as NaN, is none either."""
    assert not is_json(body)
    assert is_json(BODY)


def test_a_batch_is_verified_and_its_events_are_listed() -> None:
    """By their ids and types, in their order; what a stranger wrote can steer no terminal."""
    request = a_request(body=BATCH)
    request.headers["x-noteflow-batch"] = "2"
    lines = described(request, secret=SECRET, status=200).splitlines()
    assert [line for line in lines if line.startswith(("  batch", "  - "))] == [
        "  batch of               2",
        "  - e-1  meeting.completed  sequence 7",
        "  - e-2\\x1b[2J  custom.x",
    ]
    assert sum("verified" in line for line in lines) == 2


def test_an_array_of_cloudevents_is_a_batch_too() -> None:
    """And one that has fewer events than it says is told so."""
    request = a_request(body=b'[{"id":"e-1","type":"meeting.completed"}, 7]')
    request.headers["x-noteflow-batch"] = "3"
    text = described(request, secret=SECRET, status=200)
    assert "  batch of               2, though it says 3\n  - e-1  meeting.completed\n  - no event\n" in text


@pytest.mark.parametrize("body", [b"[" * 100_000, b"no", b'{"events":7}', b"7"], ids=["deep", "no", "number", "7"])
def test_what_calls_itself_a_batch_and_is_none_is_shown_all_the_same(body: bytes) -> None:
    """Without any events, and without a traceback."""
    request = a_request(body=body)
    request.headers["x-noteflow-batch"] = "3"
    assert "batch of               0, though it says 3" in described(request, secret=SECRET, status=400)
