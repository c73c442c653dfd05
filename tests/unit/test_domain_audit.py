"""What the audit trail tells of things, and how often of a breaker."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.application.endpoints import CHANGEABLE
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.domain.audit.breakers import TOLD_EVERY, BreakerTally, settle
from noteflow_hooks.domain.audit.entries import Actor, ActorKind
from noteflow_hooks.domain.audit.telling import (
    entry_of_disabling,
    tell_filter,
    tell_token,
    tell_update,
    tell_url,
    tell_webhook,
)
from noteflow_hooks.domain.client_certificates import CertificateInfo, ClientTls
from noteflow_hooks.domain.contacts import Digest
from noteflow_hooks.domain.endpoint_keys import PreviousKey, Signing
from noteflow_hooks.domain.options import NO_OPTIONS, EndpointOptions
from noteflow_hooks.domain.requests import NamedRequest
from noteflow_hooks.domain.webhooks import PreviousSecret, WebhookConfig
from tests.support.builders import NOON, a_token, a_webhook
from tests.support.contacts import a_contact

if TYPE_CHECKING:
    from noteflow_hooks.domain.audit.entries import AuditEntry

MINUTE: Final = timedelta(minutes=1)
CANARY: Final = "canary-9f3b"
INFO: Final = CertificateInfo("CN=client", "CN=authority", NOON, "ab" * 32)
#: An endpoint with a secret in every place that may hold one.
SECRETIVE: Final = a_webhook(
    url=f"https://hooks.example:8443/{CANARY}?key={CANARY}",
    secret=CANARY,
    previous_secret=CANARY,
    previous_secret_expires_at=NOON,
    earlier_secrets=(PreviousSecret(CANARY, NOON),),
    secret_hint=CANARY[-4:],
    headers=(("Authorization", f"Bearer {CANARY}"),),
    header_names=("Authorization",),
    signing=Signing.BOTH,
    signing_key=CANARY,
    previous_keys=(PreviousKey(CANARY, NOON),),
    tls=ClientTls("certificate", f"-----BEGIN PRIVATE KEY-----{CANARY}", info=INFO),
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/path?key=1", "https://hooks.example/…"),
        ("https://hooks.example:8443/", "https://hooks.example:8443/…"),
        ("http://[::1]:80/x", "http://[::1]:80/…"),
        # What is stored never has these; a row that was changed by hand may.
        ("https://me:password@hooks.example/x#y", "https://hooks.example/…"),
        ("https://[/secret", "…"),
        ("secret", ":///…"),
        ("", ":///…"),
    ],
)
def test_a_url_is_told_by_its_scheme_and_host(url: str, shown: str) -> None:
    """Path and query may be credentials."""
    assert tell_url(url) == shown


def test_an_endpoint_is_told_without_anything_that_opens_a_door() -> None:
    """Nor with how its secret ends; and all that is told is JSON."""
    told = json.dumps(tell_webhook(SECRETIVE))
    assert CANARY not in told
    assert CANARY[-4:] not in told
    assert json.loads(told)["secret"] == "changed"
    assert "secret" not in tell_webhook(a_webhook())


@pytest.mark.parametrize("name", [each.name for each in fields(WebhookConfig)])
def test_a_change_of_any_field_tells_no_secret(name: str) -> None:
    """A field that a later release adds is held to it, too."""
    for before, after in ((SECRETIVE, a_webhook()), (a_webhook(), SECRETIVE)):
        changed = replace(before, **{name: getattr(after, name)})
        assert CANARY not in json.dumps(tell_update(before, changed))


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({}, {}, {}),
        ({"name": "B"}, {"name": "A"}, {"name": "B"}),
        ({"rate_limit_per_s": 0.5}, {"rate_limit_per_s": None}, {"rate_limit_per_s": 0.5}),
        ({"events": ()}, {"events": ["meeting.completed"]}, {"events": []}),
        ({"paused_at": NOON}, {"paused": False}, {"paused": True}),
        (
            {"enabled": False, "disabled_reason": "why"},
            {"enabled": True, "disabled_reason": None},
            {"enabled": False, "disabled_reason": "why"},
        ),
        (
            {"url": "https://receiver.example/other"},
            {"url": "https://receiver.example/…"},
            {"url": "https://receiver.example/…"},
        ),
        (
            {"headers": (("X-Key", "v"),), "header_names": ("X-Key",)},
            {"header_names": []},
            {"header_names": ["X-Key"], "headers": "changed"},
        ),
    ],
)
def test_a_change_is_told_by_the_fields_that_differ(
    changes: dict[str, Any], old: dict[str, Any], new: dict[str, Any]
) -> None:
    """And by no others."""
    before = a_webhook(name="A")
    assert tell_update(before, replace(before, **changes)) == (old, new)


#: What each field that can be changed is changed to, as it is stored.
CHANGED: Final[dict[str, dict[str, Any]]] = {
    "url": {"url": "https://other.example/"},
    "events": {"events": ()},
    "name": {"name": "B"},
    "enabled": {"enabled": False},
    "timeout_ms": {"timeout_ms": 100},
    "max_retries": {"max_retries": 1},
    "headers": {"headers": (("X-Key", "v"),), "header_names": ("X-Key",)},
    "rate_limit_per_s": {"rate_limit_per_s": 0.5},
    "max_concurrency": {"max_concurrency": 1},
    "paused": {"paused_at": NOON},
    "payload_version": {"payload_version": 2},
    "signing": {"signing": Signing.BOTH, "signing_key": CANARY},
    "client_certificate": {"tls": ClientTls("cert", "key", info=INFO)},
    "client_key": {"tls": ClientTls(client_key="key")},
    "server_ca": {"tls": ClientTls(server_ca="ca", server_ca_info=(INFO,))},
    "contact": {"contact": a_contact()},
    "digest": {"contact": a_contact(digest=Digest.WEEKLY)},
    **{
        name: {"options": NO_OPTIONS.changed({name: value})}
        for name, value in {
            "filter": "data.duration > 60",
            "format": "standard",
            "batch_max": 100,
            "batch_wait_ms": 500,
            "batch_partial": True,
            "ordering": "per_meeting",
            "on_dead": "stop",
            "send_traceparent": True,
        }.items()
    },
}


def test_every_field_that_can_be_changed_is_told() -> None:
    """A new one has to be thought about: how it is told, and whether it may be."""
    assert set(CHANGED) == set(CHANGEABLE)
    before = a_webhook(name="A")
    for name, changes in CHANGED.items():
        old, new = tell_update(before, replace(before, **changes))
        assert old, name
        assert new, name


def test_another_value_of_the_same_header_is_a_change() -> None:
    """The names are the same then, and it is there all the same."""
    before = a_webhook(headers=(("X-Key", "one"),), header_names=("X-Key",))
    old, new = tell_update(before, replace(before, headers=(("X-Key", "two"),)))
    assert (old, new) == ({"header_names": ["X-Key"]}, {"header_names": ["X-Key"], "headers": "changed"})


def test_a_token_is_told_without_its_hash() -> None:
    """By its name, its hint, what it may do and until when."""
    token = a_token(name="ci", hint="abcd", scopes=frozenset({Scope.READ, Scope.MANAGE}), expires_at=NOON)
    assert tell_token(token) == {
        "name": "ci",
        "hint": "abcd",
        "scopes": ["manage", "read"],
        "expires_at": "2024-01-31T12:00:00+00:00",
    }


def test_an_actor_is_a_token_and_asks_under_a_request_id() -> None:
    """Where it has chosen one."""
    token = a_token(hint="abcd")
    actor = Actor.of_token(token)
    assert (actor.kind, actor.name, actor.token_hint, actor.request_id) == (
        ActorKind.TOKEN,
        str(token.id),
        "abcd",
        None,
    )
    request = NamedRequest(uuid4(), "r-1", "CreateMeeting", token.id, b"")
    assert actor.asking(request).request_id == "r-1"
    assert actor.asking(None) is actor


def test_disabling_is_told_by_what_led_to_it() -> None:
    """410 Gone is one thing, failing for too long another."""
    webhook = a_webhook()
    entries = [entry_of_disabling(webhook, "why", is_gone=each) for each in (True, False)]
    assert [each.action for each in entries] == ["webhook.gone", "webhook.disabled"]
    assert {(each.target_id, str(each.new)) for each in entries} == {
        (str(webhook.id), "{'enabled': False, 'disabled_reason': 'why'}")
    }


@given(waits=st.lists(st.tuples(st.booleans(), st.integers(0, 90)), max_size=40))
def test_every_change_of_a_breaker_is_counted_once_and_told_once_an_hour(waits: list[tuple[bool, int]]) -> None:
    """However it changes, and whether a change or the sweep comes first when the hour is over."""
    now, is_open = NOON, False
    tally = BreakerTally(webhook_id=uuid4(), workspace_id=uuid4())
    told: list[AuditEntry] = []
    moments, changes = [], 0
    for is_sweep, minutes in [*waits, (True, 60)]:
        now += minutes * MINUTE
        if not is_sweep:
            is_open, changes = not is_open, changes + 1
            tally = tally.changed(is_open=is_open, now=now)
        [tally], entries = settle([tally], now=now)
        moments += [now] * len(entries)
        told += entries
    assert sum((each.new or {})["opened"] + (each.new or {})["closed"] for each in told) == changes
    assert all(after - before >= TOLD_EVERY for before, after in pairwise(moments))
    assert tally.is_told
    states = [(each.old or {})["breaker"] for each in told], [(each.new or {})["breaker"] for each in told]
    assert [*states[0], "open" if is_open else "closed"] == ["closed", *states[1]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data.duration_seconds > 60", "data.duration_seconds > 60"),
        ('data.title == "SECRET" && has(data.x)', 'data.title == "…" && has(data.x)'),
        ('data["SEC\\"RET"] == 1', 'data["…"] == 1'),
        ("r'\\' == data.a || data.b == 'SECRET'", '"…" == data.a || data.b == "…"'),
        ('bR"a\\" == data.a || data.b == "SECRET"', '"…" == data.a || data.b == "…"'),
        ('data.a == """a\\"""SECRET"""', 'data.a == "…"'),
        ("data.a == '''it's SECRET'''", 'data.a == "…"'),
        ('true // "SECRET\n&& data.a == "SECRET"', 'true \n&& data.a == "…"'),
        ('"a//b" == data.a // SECRET', '"…" == data.a'),
        ('data.a == "SECRET', 'data.a == "…"'),
    ],
)
def test_of_a_filter_neither_strings_nor_comments_are_told(text: str, told: str) -> None:
    """They may repeat what was said in a meeting. That one of them has changed is told all the same."""
    assert tell_filter(text) == told
    before = a_webhook(options=EndpointOptions(filter=text))
    assert tell_webhook(before)["filter"] == told
    after = replace(before, options=EndpointOptions(filter=f"{text} // SECRET"))
    assert [tuple(each) for each in tell_update(before, after)] == [("filter",), ("filter",)]
