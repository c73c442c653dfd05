"""Webhook configurations: what makes a valid one, and which secrets sign when."""

from __future__ import annotations

import base64
import dataclasses
import math
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.events import SUBSCRIBABLE
from noteflow_hooks.domain.webhooks import WebhookConfig, check_events, check_range
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.key_pairs import generate_key_pair, public_key
from noteflow_hooks.signing import generate_secret
from tests.support.builders import NOON, a_webhook

URL = "https://receiver.example/hooks"
LONG = "x" * 20 + "-end"


def create(**overrides: Any) -> WebhookConfig:  # noqa: ANN401 - whatever type the field has
    return WebhookConfig.create(uuid4(), **{"url": URL, "events": ["meeting.completed"]} | overrides)


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


def test_a_configuration_has_the_contracts_defaults() -> None:
    """Without more than a URL and events it is enabled, unsigned, and gets three attempts of ten seconds."""
    workspace_id = uuid4()
    made = WebhookConfig.create(workspace_id, URL, [])
    assert made == WebhookConfig(
        id=made.id,
        workspace_id=workspace_id,
        url=URL,
        events=(),
        name="Webhook",
        secret=None,
        secret_hint="",
        enabled=True,
        timeout_ms=10_000,
        max_retries=3,
        headers=(),
        header_names=(),
        rate_limit_per_s=None,
        max_concurrency=None,
        paused_at=None,
    )
    assert made.id != WebhookConfig.create(workspace_id, URL, []).id


def test_a_configuration_takes_what_it_is_given() -> None:
    """Every argument arrives in its field, the events sorted and once each, the URL written anew."""
    secret = generate_secret()
    made = create(
        url="HTTP://localhost",
        events=iter(["summary.generated", "meeting.completed", "summary.generated"]),
        name="CRM",
        secret=secret,
        timeout_ms=100,
        max_retries=20,
        enabled=False,
        headers=[("X-B", "2"), ("X-A", "1")],
        rate_limit_per_s=2.5,
        max_concurrency=4,
        allow_http_loopback=True,
    )
    assert (made.url, made.events) == ("http://localhost/", ("meeting.completed", "summary.generated"))
    assert (made.name, made.secret, made.secret_hint) == ("CRM", secret, secret[-4:])
    assert (made.timeout_ms, made.max_retries, made.enabled) == (100, 20, False)
    assert (made.headers, made.header_names) == ((("X-B", "2"), ("X-A", "1")), ("X-B", "X-A"))
    assert (made.rate_limit_per_s, made.max_concurrency) == (2.5, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://receiver.example/"),
        ("url", "http://localhost/"),
        ("events", ["meeting.completed", "nonsense"]),
        ("events", ["webhook.test"]),
        ("events", ["Meeting.Completed"]),
        ("name", ""),
        ("name", " "),
        ("name", "n" * 256),
        ("name", "\x00"),
        ("secret", ""),
        ("secret", "short"),
        ("secret", "x" * 257),
        ("secret", "with space"),
        ("secret", "umlautä-umlautä"),
        ("secret", "whsec_"),
        ("secret", whsec(23)),
        ("secret", whsec(65)),
        ("secret", whsec(32).rstrip("=")),
        ("secret", whsec(32) + "\n"),
        ("timeout_ms", 99),
        ("timeout_ms", 30_001),
        ("max_retries", 0),
        ("max_retries", 21),
        ("headers", [("Host", "other.example")]),
        ("rate_limit_per_s", 0),
        ("rate_limit_per_s", 0.009),
        ("rate_limit_per_s", 1000.1),
        ("rate_limit_per_s", -1),
        ("rate_limit_per_s", math.nan),
        ("rate_limit_per_s", math.inf),
        ("max_concurrency", 0),
        ("max_concurrency", 1001),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_field(field: str, value: object) -> None:
    """The refusal names the field."""
    with pytest.raises(InvalidInputError) as caught:
        create(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("secret", ["hunter2", "whsec_hunter2", "hunter2 " * 4])
def test_a_refused_secret_is_not_repeated(secret: str) -> None:
    """What was meant to be a secret stays out of errors and so out of logs."""
    with pytest.raises(InvalidInputError) as caught:
        create(secret=secret)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 255),
        ("timeout_ms", 100),
        ("timeout_ms", 30_000),
        ("max_retries", 1),
        ("max_retries", 20),
        ("rate_limit_per_s", 0.01),
        ("rate_limit_per_s", 1000.0),
        ("max_concurrency", 1),
        ("max_concurrency", 1000),
        ("secret", "8charsss"),
        ("secret", "~!" * 128),
        ("secret", whsec(24)),
        ("secret", whsec(64)),
    ],
)
def test_the_bounds_themselves_are_allowed(field: str, value: object) -> None:
    """The first and the last allowed value pass as they are."""
    assert getattr(create(**{field: value}), field) == value


@pytest.mark.parametrize(("secret", "shown"), [(LONG, "-end"), (LONG[1:], ""), (None, "")])
def test_only_long_secrets_give_a_hint(secret: str | None, shown: str) -> None:
    """Four characters of 24 tell little, of 23 too much."""
    assert create(secret=secret).secret_hint == shown


def test_secrets_are_not_in_a_repr() -> None:
    """A configuration can be logged."""
    shown = repr(create(secret="first-secret", headers=[("Authorization", "third-secret")]))
    assert "first-secret" not in shown
    assert "third-secret" not in shown
    assert "Authorization" in shown
    assert "second-secret" not in repr(a_webhook(secret="first-secret", previous_secret="second-secret"))


def test_a_configuration_is_frozen_and_slotted() -> None:
    """A configuration changes by being replaced."""
    webhook = a_webhook()
    with pytest.raises(dataclasses.FrozenInstanceError):
        webhook.url = URL  # type: ignore[misc]  # it is frozen
    assert not hasattr(webhook, "__dict__")


@pytest.mark.parametrize("event_type", SUBSCRIBABLE)
def test_an_endpoint_subscribes_to_what_it_names_alone(event_type: str) -> None:
    """Empty subscribes to nothing, and no type stands for another."""
    assert a_webhook(events=(event_type,)).subscribes_to(event_type)
    assert not a_webhook(events=()).subscribes_to(event_type)
    others = tuple(each for each in SUBSCRIBABLE if each != event_type)
    assert not a_webhook(events=others).subscribes_to(event_type)


@pytest.mark.parametrize(
    ("secret", "previous", "expires_in_s", "signing"),
    [
        (None, None, None, ()),
        ("new", None, None, ("new",)),
        ("new", "old", 1, ("new", "old")),
        ("new", "old", 0, ("new",)),
        ("new", "old", -1, ("new",)),
        ("new", "old", None, ("new",)),
        (None, "old", 1, ()),
    ],
)
def test_the_old_secret_signs_until_its_time_is_over(
    secret: str | None, previous: str | None, expires_in_s: int | None, signing: tuple[str, ...]
) -> None:
    """Newest first; an endpoint without a secret is unsigned whatever was before."""
    expires_at = None if expires_in_s is None else NOON + timedelta(seconds=expires_in_s)
    webhook = a_webhook(secret=secret, previous_secret=previous, previous_secret_expires_at=expires_at)
    assert webhook.secrets_at(NOON) == signing


def test_an_unknown_type_is_named_and_cut() -> None:
    """A refusal repeats no more than a hundred characters of what it refuses, and lists what is allowed."""
    with pytest.raises(InvalidInputError) as caught:
        check_events(["x" * 1_000])
    assert "x" * 101 not in str(caught.value)
    assert all(each in str(caught.value) for each in SUBSCRIBABLE)


def test_a_number_out_of_range_is_refused_with_the_bounds() -> None:
    """The refusal says what it was and what it may be."""
    with pytest.raises(InvalidInputError, match=r"^timeout_ms: is 7; allowed are 10 to 20$"):
        check_range("timeout_ms", 7, range(10, 21))


def test_a_rate_out_of_range_is_refused_with_the_bounds() -> None:
    """As every number is, those that are none included."""
    with pytest.raises(InvalidInputError, match=r"^rate_limit_per_s: is nan; allowed are 0\.01 to 1000$"):
        create(rate_limit_per_s=math.nan)


@pytest.mark.parametrize(
    ("fields", "signed", "headers_unreadable"),
    [
        ({}, False, False),
        ({"secret": "a-secret"}, True, False),
        ({"secret_unreadable": True}, True, False),
        ({"headers": (("X-A", "1"),), "header_names": ("X-A",)}, False, False),
        ({"header_names": ("X-A",)}, False, True),
        ({"secret_unreadable": True, "header_names": ("X-A",)}, True, True),
    ],
)
def test_what_cannot_be_read_is_there_all_the_same(
    fields: dict[str, Any], *, signed: bool, headers_unreadable: bool
) -> None:
    """A secret that no key decrypts is still one; names without values are headers that no key decrypts."""
    webhook = a_webhook(**fields)
    assert (webhook.is_signed, webhook.headers_unreadable) == (signed, headers_unreadable)


def test_each_rotated_secret_signs_until_its_own_end() -> None:
    """A second rotation within the overlap ends none; the answer names those that sign, newest first."""
    webhook = a_webhook(secret="secret-0")
    for number in range(1, 4):
        now = NOON + timedelta(hours=number)
        webhook = webhook.rotated(f"secret-{number}", now=now, overlap=timedelta(hours=10 * number))
    at_once = NOON + timedelta(hours=3)
    assert webhook.secrets_at(at_once) == ("secret-3", "secret-2", "secret-1", "secret-0")
    assert webhook.secrets_at(NOON + timedelta(hours=11)) == ("secret-3", "secret-2", "secret-1")
    assert webhook.secrets_at(NOON + timedelta(hours=22)) == ("secret-3", "secret-2")
    assert webhook.secrets_at(NOON + timedelta(hours=33)) == ("secret-3",)


def test_a_rotation_without_overlap_ends_all_earlier_secrets_at_once() -> None:
    """One that has leaked goes so, and those before it."""
    webhook = a_webhook(secret="secret-0").rotated("secret-1", now=NOON, overlap=timedelta(hours=9))
    webhook = webhook.rotated("secret-2", now=NOON, overlap=timedelta(0))
    assert webhook.secrets_at(NOON) == ("secret-2",)
    assert (webhook.previous_secret, webhook.previous_secrets) == (None, ())


def test_where_more_than_five_secrets_would_be_left_the_oldest_ends() -> None:
    """Five sign beside the newest one."""
    webhook = a_webhook(secret="secret-0")
    for number in range(1, 9):
        webhook = webhook.rotated(f"secret-{number}", now=NOON, overlap=timedelta(hours=9))
    assert webhook.secrets_at(NOON) == tuple(f"secret-{number}" for number in range(8, 2, -1))


def test_each_rotated_key_pair_signs_until_its_own_end_and_five_at_most() -> None:
    """As secrets do; a rotation without overlap ends all of them at once."""
    keys = [generate_key_pair() for _ in range(8)]
    webhook = a_webhook(signing=Signing.ED25519, signing_key=keys[0])
    for number, key in enumerate(keys[1:], start=1):
        webhook = webhook.rotated_key(key, now=NOON, overlap=timedelta(hours=number))
    assert (webhook.signing_key, webhook.public_key) == (keys[7], public_key(keys[7]))
    assert [each.private_key for each in webhook.previous_keys_at(NOON)] == keys[6:1:-1]
    assert [each.private_key for each in webhook.previous_keys_at(NOON + timedelta(hours=5))] == [keys[6], keys[5]]
    assert webhook.previous_keys[0].public_key == public_key(keys[6])
    ended = webhook.rotated_key(keys[0], now=NOON, overlap=timedelta(0))
    assert (ended.signing_key, ended.previous_keys) == (keys[0], ())


def test_what_no_key_decrypts_is_missed_only_where_it_signs() -> None:
    """And the rotation of the one does not hide that the other is lost."""
    for signing, secret, key in (
        (Signing.HMAC, True, False),
        (Signing.ED25519, False, True),
        (Signing.BOTH, True, True),
    ):
        for unreadable, is_missed in (("secret_unreadable", secret), ("keys_unreadable", key)):
            blind = a_webhook(signing=signing, signing_key=None, **{unreadable: True}).checked_for_losses()
            assert blind.secret_unavailable is is_missed
    blind = a_webhook(signing=Signing.BOTH, secret_unreadable=True, keys_unreadable=True).checked_for_losses()
    half = blind.rotated("secret-1", now=NOON, overlap=timedelta(0))
    assert (blind.lost, half.lost, half.secret_unavailable) == ("secret", "signing key", True)
    whole = half.rotated_key(generate_key_pair(), now=NOON, overlap=timedelta(0))
    assert (whole.lost, whole.secret_unavailable) == (None, False)


def test_secrets_sign_where_they_are_used() -> None:
    """An endpoint may have a secret that does not sign at the moment."""
    signed = {each: a_webhook(secret="secret-1", signing=each).secrets_at(NOON) for each in Signing}
    assert signed == {Signing.HMAC: ("secret-1",), Signing.ED25519: (), Signing.BOTH: ("secret-1",)}
    assert not a_webhook(secret="secret-1", signing=Signing.ED25519).is_signed
    assert a_webhook(signing=Signing.BOTH, signing_key=generate_key_pair()).is_signed
