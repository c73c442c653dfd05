"""The kit for receivers' tests: its events verify by code that is not ours, and are as the workers send them."""

from __future__ import annotations

import base64
import json
import ssl
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.key_pairs import KeySigner, generate_key_pair, public_key
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from noteflow_hooks.testing import (
    PRIVATE_KEY,
    PUBLIC_KEY,
    SECRET,
    Receiver,
    event_types,
    sample,
    samples,
)
from noteflow_hooks.testing.keys import public_key_of, sign_by_key
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that knows the samples' secret and public key."""
    with Receiver(SECRET, PUBLIC_KEY) as receiver:
        yield receiver


def test_there_is_a_sample_of_every_type_as_it_is_sent() -> None:
    """The catalogue's example, in the newest version."""
    assert event_types() == list(map(str, CATALOGUE))
    for event, kind in zip(samples(), CATALOGUE.values(), strict=True):
        assert (event.type, event.version) == (kind.name, kind.versions[-1])
        assert event.body.decode() == kind.example_text(kind.versions[-1])


@pytest.mark.parametrize("event_type", event_types())
def test_a_sample_verifies_by_others_code(event_type: str) -> None:
    """By a library of Standard Webhooks, and by both signatures of ours."""
    event = sample(event_type)
    assert Webhook(SECRET).verify(event.body, event.headers) == event.payload
    assert verify_signature(event.body, event.headers["X-NoteFlow-Signature"], SECRET)


def test_a_key_pair_signs_as_cryptography_does() -> None:
    """Byte for byte: Ed25519 has one signature for each content."""
    for key in (PRIVATE_KEY, generate_key_pair()):
        assert sign_by_key("msg", 7, b"body", key) == KeySigner(key).sign_standard("msg", 7, b"body")
        assert public_key_of(key) == public_key(key)
    assert public_key_of(PRIVATE_KEY) == PUBLIC_KEY
    event = sample(signed_by=[PRIVATE_KEY])
    assert verify_standard(event.body, event.headers, PUBLIC_KEY)
    assert "X-NoteFlow-Signature" not in event.headers


def test_a_rotation_signs_by_both_secrets() -> None:
    """The newest first, which alone makes the plain signature."""
    newest = generate_secret()
    event = sample(signed_by=[newest, SECRET])
    assert all(verify_standard(event.body, event.headers, each) for each in (newest, SECRET))
    assert verify_signature(event.body, event.headers["X-NoteFlow-Signature"], newest)


def test_a_payload_takes_the_place_of_the_example_s_fields() -> None:
    """In compact JSON, as it is sent; a type of one's own has nothing else."""
    event = sample("recording.started", {"title": "Wöchentlich"})
    assert event.body.decode().endswith('"meeting_id":"m-2031","title":"Wöchentlich"}')
    own = sample("custom.invoice", {"total": 7})
    assert (own.payload, own.version) == ({"event": "custom.invoice", "total": 7}, None)
    wrongs: tuple[dict[str, Any], ...] = ({"event_type": "meeting.gone"}, {"version": 99})
    for wrong in wrongs:
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
            sample(**wrong)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("stale", "too_old"), ("forged", "no_match"), ("tampered", "no_match"), ("unsigned", "missing_header")],
)
def test_what_is_wrong_with_an_event_is_found_and_named(fault: str, reason: str, receiver: Receiver) -> None:
    """By our receiver, which answers 401 and keeps it apart."""
    assert getattr(sample(), fault)().post(receiver.url) == 401
    assert (receiver.received, [each.reason for each in receiver.refused]) == ([], [reason])


def test_a_plain_signature_that_does_not_fit_is_refused_beside_one_that_does(receiver: Receiver) -> None:
    """Who has one of two secrets has not both."""
    good, other = sample(), sample(signed_by=[generate_secret()])
    headers = good.headers | {"X-NoteFlow-Signature": other.headers["X-NoteFlow-Signature"]}
    mixed = replace(good.tampered(), body=good.body, signatures={each: headers[each] for each in SIGNATURES})
    assert mixed.post(receiver.url) == 401
    assert [each.reason for each in receiver.refused] == ["no_match"]


SIGNATURES: Final = ("X-NoteFlow-Signature", "webhook-signature")


def test_a_receiver_keeps_each_attempt_and_answers_as_it_is_told(receiver: Receiver) -> None:
    """A retry has the same id, and is signed at its own time."""
    event = sample("recording.started", signed_by=[PRIVATE_KEY])
    receiver.answer_with(503)
    assert [each.post(f"{receiver.url}hooks?a=1") for each in (event, event.again())] == [503, 204]
    last = receiver.wait_for("recording.started", count=2)
    assert (last.id, last.path, last.payload) == (event.id, "/hooks?a=1", event.payload)
    assert int(last.headers["webhook-timestamp"]) == event.timestamp + 1


def test_what_does_not_come_is_told_with_what_has(receiver: Receiver) -> None:
    """So that a test's failure says why."""
    sample("recording.started").post(receiver.url)
    sample().forged().post(receiver.url)
    came = r"received \['recording.started'\], refused \['no_match'\]"
    with pytest.raises(TimeoutError, match=rf"^1 of meeting.completed did not come; {came}$"):
        receiver.wait_for("meeting.completed", timeout_s=0.01)


def test_it_gives_a_challenge_back(receiver: Receiver) -> None:
    """So an endpoint of it can be verified."""
    event = sample("webhook.verification", {"challenge": "abc"})
    assert event.post(receiver.url) == 200
    assert receiver.wait_for("webhook.verification").payload["challenge"] == "abc"


def test_over_tls_it_is_the_same() -> None:
    """With a certificate of the test's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority().configure_trust(trusting)
    with Receiver(tls=context) as receiver:
        assert sample().post(receiver.url, tls=trusting) == 204
    assert receiver.url.startswith("https://localhost:")


def test_a_real_delivery_has_the_headers_of_a_sample(receiver: Receiver) -> None:
    """Name by name, and values where they say what and not when; it verifies as the sample does."""
    webhook = a_webhook(url=receiver.url, secret=SECRET)
    delivery = a_delivery(webhook_id=webhook.id, event_id=uuid4())
    claim = Claim(delivery=delivery, webhook=webhook, payload=sample("meeting.completed").body, rank=Rank(1))
    with closing(WebhookExecutor(EgressPolicy(allow_http_loopback=True))) as executor:
        executor.post(claim)
    real = receiver.wait_for()
    event = sample(real.type)
    assert event.post(receiver.url) == 204
    told = receiver.wait_for(count=2)
    ours = {name: value for name, value in real.headers.items() if name.startswith(("x-noteflow", "webhook-"))}
    assert ours.keys() == {name for name in told.headers if name.startswith(("x-noteflow", "webhook-"))}
    for name in ("content-type", "user-agent", "x-noteflow-event", "x-noteflow-payload-version"):
        assert told.headers[name] == real.headers[name]


def test_the_samples_of_other_languages_verify_at_their_own_time() -> None:
    """Each by its secret or key, and none a tolerance later."""
    document = json.loads((ROOT / "conformance" / "samples.json").read_text("utf-8"))
    vectors: list[dict[str, Any]] = document["vectors"]
    assert [each["event_type"] for each in vectors] == [str(kind) for kind in CATALOGUE for _ in range(2)]
    for each in vectors:
        body, [secret] = base64.b64decode(each["body_base64"]), each["secrets"]
        assert verify_standard(body, each["headers"], secret, now=each["now"], tolerance_s=each["tolerance_s"])
        assert not verify_standard(body, each["headers"], secret, now=datetime.now(UTC).timestamp())
        if each["scheme"] == "both":
            assert verify_signature(body, each["headers"]["X-NoteFlow-Signature"], secret)
