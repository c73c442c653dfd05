"""What is prepared of an endpoint is made once for a version, says what a fresh one would, and is forgotten with it."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.webhooks import PreviousSecret
from noteflow_hooks.executor.http.faults import ExchangeError
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.executor.per_version import PerVersion
from noteflow_hooks.key_pairs import KeySigner, generate_key_pair, public_key
from noteflow_hooks.signing import Signer, generate_secret, sign, sign_standard, verify_standard
from tests.support.builders import NOON, a_delivery, a_webhook

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig

BODY: Final = b'{"event":"meeting.completed"}'


def prepared(webhook: WebhookConfig) -> PreparedEndpoint:
    return PreparedEndpoint(webhook, user_agent="test", allow_http_loopback=False)


def headers(head: bytes) -> dict[str, str]:
    """Return a head's headers; it has each once."""
    lines = head.decode("latin-1").split("\r\n")
    assert lines[0] == "POST /hooks HTTP/1.1"
    assert lines[-2:] == ["", ""]
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:-2])]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("secret", [None, "plain-text-of-a-secret"], ids=["ours", "text"])
@pytest.mark.parametrize("payload", [b"", BODY, b"x" * 70_000], ids=["empty", "short", "long"])
def test_a_signer_signs_as_the_functions_do(secret: str | None, payload: bytes) -> None:
    """However often it has signed before."""
    secret = secret if secret is not None else generate_secret()
    signer = Signer(secret)
    for _ in range(2):
        assert signer.sign(payload) == sign(payload, secret)
        assert signer.sign_standard("m-1", 5, payload) == sign_standard("m-1", 5, payload, [secret])


def test_a_secret_without_bytes_makes_no_signer() -> None:
    """Anybody could sign with it."""
    with pytest.raises(ValueError, match="no bytes"):
        Signer("whsec_")


def test_each_post_has_a_head_of_its_own() -> None:
    """Of the same prepared endpoint: its delivery's ids, its body's length, and signatures of its moment."""
    webhook = a_webhook(secret=generate_secret(), headers=(("X-Key", "value"), ("accept", "text/plain")))
    endpoint = prepared(webhook)
    for number, moment in enumerate((NOON, NOON + timedelta(seconds=7))):
        delivery, payload = a_delivery(event_type="meeting.completed"), BODY * number
        stamp = int(moment.timestamp())
        assert headers(endpoint.usual(delivery, payload, moment).head) == {
            "Host": "receiver.example",
            "User-Agent": "test",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            "X-NoteFlow-Event": "meeting.completed",
            "X-NoteFlow-Payload-Version": "1",
            "X-NoteFlow-Delivery": str(delivery.id),
            "webhook-id": str(delivery.event_id),
            "webhook-timestamp": str(stamp),
            "X-NoteFlow-Signature": sign(payload, webhook.secret or ""),
            "webhook-signature": sign_standard(str(delivery.event_id), stamp, payload, [webhook.secret or ""]),
            "X-Key": "value",
            "accept": "text/plain",
        }


def test_a_place_is_told_only_as_far_as_there_is_something_to_tell() -> None:
    """The number always; a gap and a late one only where they are."""
    endpoint, names = prepared(a_webhook()), ("X-NoteFlow-Sequence", "X-NoteFlow-Gap", "X-NoteFlow-Out-Of-Order")
    cases = {
        None: (None, None, None),
        Rank(7): ("7", None, None),
        Rank(2**62, gap=3): (str(2**62), "3", None),
        Rank(1, is_late=True): ("1", None, "true"),
    }
    for rank, expected in cases.items():
        sent = headers(endpoint.usual(a_delivery(), BODY, NOON, rank=rank).head)
        assert tuple(sent.get(name) for name in names) == expected


def test_an_earlier_secret_signs_until_its_end() -> None:
    """By the POST's own moment, whenever the endpoint was prepared."""
    new, old = generate_secret(), generate_secret()
    ends = NOON + timedelta(seconds=10)
    endpoint = prepared(a_webhook(secret=new, earlier_secrets=(PreviousSecret(old, ends),)))
    delivery = a_delivery()
    for moment, secrets in ((NOON, [new, old]), (ends - timedelta(seconds=1), [new, old]), (ends, [new])):
        expected = sign_standard(str(delivery.event_id), int(moment.timestamp()), BODY, secrets)
        assert headers(endpoint.usual(delivery, BODY, moment).head)["webhook-signature"] == expected


@pytest.mark.parametrize("signing", [Signing.ED25519, Signing.BOTH])
def test_a_key_pair_signs_alone_or_behind_the_secrets(signing: Signing) -> None:
    """The plain signature is a secret's, and so is there only where secrets sign."""
    secret, key = generate_secret(), generate_key_pair()
    endpoint = prepared(a_webhook(secret=secret, signing=signing, signing_key=key))
    delivery, stamp = a_delivery(), int(NOON.timestamp())
    by_key = KeySigner(key).sign_standard(str(delivery.event_id), stamp, BODY)
    by_secret = sign_standard(str(delivery.event_id), stamp, BODY, [secret])
    for _ in range(3):
        sent = headers(endpoint.usual(delivery, BODY, NOON).head)
        if signing is Signing.BOTH:
            assert sent["webhook-signature"] == f"{by_secret} {by_key}"
            assert sent["X-NoteFlow-Signature"] == sign(BODY, secret)
        else:
            assert sent["webhook-signature"] == by_key
            assert "X-NoteFlow-Signature" not in sent


def test_an_earlier_key_pair_signs_until_its_end() -> None:
    """By the POST's own moment, behind the newest one; a receiver with either public key takes it."""
    new, old = generate_key_pair(), generate_key_pair()
    ends = NOON + timedelta(seconds=10)
    kept = a_webhook(signing=Signing.ED25519, signing_key=new, previous_keys=(PreviousKey(old, ends),))
    endpoint, delivery = prepared(kept), a_delivery()
    for moment, keys in ((NOON, [new, old]), (ends, [new])):
        sent = headers(endpoint.usual(delivery, BODY, moment).head)
        stamp = int(moment.timestamp())
        expected = [KeySigner(each).sign_standard(str(delivery.event_id), stamp, BODY) for each in keys]
        assert sent["webhook-signature"] == " ".join(expected)
        for each in keys:
            assert verify_standard(BODY, sent, public_key(each), now=stamp)


def test_a_key_pair_that_is_not_there_is_not_done_without() -> None:
    """As in a row that was changed by hand, or whose key no key decrypts: nothing goes out unsigned, or half signed."""
    for signing in (Signing.ED25519, Signing.BOTH):
        with pytest.raises(ExchangeError, match="no signing key"):
            prepared(a_webhook(secret=generate_secret(), signing=signing))
        lost = a_webhook(secret=generate_secret(), signing=signing, keys_unreadable=True).checked_for_losses()
        with pytest.raises(ExchangeError, match="No key decrypts the webhook's signing key"):
            prepared(lost)


@pytest.mark.parametrize("event_type", ["a\r\nX-Evil: 1", "a\0", "Ā"])
def test_an_event_type_that_breaks_a_line_is_never_sent(event_type: str) -> None:
    """Earlier checks refuse it; this is the last one."""
    with pytest.raises(ValueError, match="no header may have"):
        prepared(a_webhook()).usual(a_delivery(event_type=event_type), BODY, NOON)


def test_a_version_is_prepared_once_and_another_one_anew() -> None:
    """Also where the two are equal: only the very same object is surely the same version."""
    made: list[str] = []
    kept = PerVersion(lambda webhook: made.append(webhook.name))
    first = a_webhook(name="first")
    second = replace(first, name="second")
    for webhook in (first, first, second, first, replace(second)):
        kept.of(webhook)
    assert made == ["first", "second", "second"]


def test_what_was_made_of_an_endpoint_goes_with_it() -> None:
    """The keys made of its secrets live no longer than the secrets themselves."""
    kept = PerVersion(prepared)
    webhooks = [a_webhook(secret=generate_secret()) for _ in range(3)]
    for webhook in webhooks:
        kept.of(webhook)
    assert len(kept) == 3
    del webhook, webhooks[1:]
    gc.collect()
    assert len(kept) == 1
    assert kept.of(webhooks[0]) is kept.of(webhooks[0])


def test_what_can_not_be_made_is_tried_anew() -> None:
    """An error is nothing to keep."""
    tries: list[int] = []

    def make(_: WebhookConfig) -> int:
        tries.append(1)
        return 1 // (len(tries) - 1)

    kept, webhook = PerVersion(make), a_webhook()
    with pytest.raises(ZeroDivisionError):
        kept.of(webhook)
    assert kept.of(webhook) == 1
