"""What an endpoint is told beside its URL and events, over a real channel: headers, limits and a pause."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import logging
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.domain.payload_versions import NEWEST
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.integration.rpc.world import World

CANARY = "c4n4ry-of-a-header"
HEADERS = (("Authorization", f"Bearer {CANARY}"), ("X-Zone", "eu"))
EVERYTHING: dict[str, Any] = {"rate_limit_per_s": 2.5, "max_concurrency": 4}


def _headers(*pairs: tuple[str, str]) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in pairs]


def _stored(world: World, webhook_id: str) -> WebhookConfig:
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook_id))
    assert found is not None
    return found


def _get(world: World, webhook_id: str) -> pb.Webhook:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id))


def _update(world: World, webhook_id: str, *paths: str, **fields: Any) -> pb.Webhook:
    request = pb.UpdateWebhookRequest(webhook_id=webhook_id, update_mask=FieldMask(paths=paths), **fields)
    return world.client.webhooks.UpdateWebhook(request)


def test_an_endpoint_that_is_told_nothing_more_has_no_headers_no_limits_and_no_pause(world: World) -> None:
    """Absent stays absent."""
    made = world.a_webhook()
    assert (list(made.header_names), made.paused) == ([], False)
    assert not any(made.HasField(name) for name in ("rate_limit_per_s", "max_concurrency", "paused_at"))
    assert _stored(world, made.id).headers == ()


def test_an_endpoint_is_registered_with_headers_and_limits(world: World) -> None:
    """Headers are stored whole, and told by their names."""
    made = world.a_webhook(headers=_headers(*HEADERS), **EVERYTHING)
    assert (list(made.header_names), made.rate_limit_per_s, made.max_concurrency) == (
        ["Authorization", "X-Zone"],
        2.5,
        4,
    )
    assert _get(world, made.id) == made
    stored = _stored(world, made.id)
    assert (stored.headers, stored.rate_limit_per_s, stored.max_concurrency) == (HEADERS, 2.5, 4)


def test_a_headers_value_never_comes_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """In no answer of any RPC about endpoints, and in no log."""
    caplog.set_level(logging.DEBUG)
    hooks = world.client.webhooks
    made = world.a_webhook(headers=_headers(*HEADERS), generate_secret=True)
    answers: list[Message] = [
        made,
        _get(world, made.id),
        hooks.ListWebhooks(pb.ListWebhooksRequest()),
        _update(world, made.id, "headers", "name", headers=_headers(*HEADERS), name="x"),
        hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=made.id)),
        hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=made.id)),
        hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id)),
    ]
    assert not any(CANARY.encode() in answer.SerializeToString() for answer in answers)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("fields", "field", "word"),
    [
        ({"headers": _headers(("Host", CANARY))}, "headers", "'Host' can't be set; not allowed are Accept-Encoding"),
        ({"headers": _headers(("X-A", f"{CANARY}\r\nX-B: 1"))}, "headers", "the value of 'X-A' is not allowed"),
        ({"headers": _headers((f"X-A: {CANARY}", "v"))}, "headers", "the name of header 1 has ':' after 'X-A'"),
        ({"headers": _headers(("X-A", CANARY), ("x-a", CANARY))}, "headers", "'x-a' is given twice"),
        ({"headers": _headers(*((f"X-{n}", CANARY) for n in range(21)))}, "headers", "at most 20"),
        ({"headers": [pb.Header()]}, "headers", "1 to 255"),
        ({"rate_limit_per_s": 0}, "rate_limit_per_s", "is 0; allowed are 0.01 to 1000"),
        ({"rate_limit_per_s": math.nan}, "rate_limit_per_s", "is nan; allowed are 0.01 to 1000"),
        ({"max_concurrency": 0}, "max_concurrency", "is 0; allowed are 1 to 1000"),
        ({"max_concurrency": -1}, "max_concurrency", "is -1; allowed are 1 to 1000"),
        ({"payload_version": 0}, "payload_version", "is 0; allowed are 1 to 1"),
        ({"payload_version": 2}, "payload_version", "is 2; allowed are 1 to 1"),
        ({"events": ["custom.none"]}, "events", "'custom.none' can't be subscribed to; allowed: meeting.completed, "),
    ],
    ids=[
        "denied",
        "injected",
        "name",
        "twice",
        "many",
        "empty",
        "rate",
        "nan",
        "concurrency",
        "negative",
        "no version",
        "late version",
        "no type",
    ],
)
def test_bad_settings_are_refused_by_field_when_registered_and_when_changed(
    world: World, fields: dict[str, Any], field: str, word: str
) -> None:
    """With what is allowed and without repeating a value; nothing is stored."""
    made = world.a_webhook(headers=_headers(*HEADERS), **EVERYTHING)
    calls: list[Callable[[], object]] = [
        lambda: world.a_webhook(**fields),
        lambda: _update(world, made.id, *fields, **fields),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        said = caught.value.details() or ""
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert said.startswith(f"{field}: ")
        assert word in said
        assert CANARY not in said
    assert list(world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks) == [made]
    assert _stored(world, made.id).headers == HEADERS


def test_headers_are_replaced_as_a_whole(world: World) -> None:
    """An empty list takes them all away; what the mask doesn't name stays."""
    made = world.a_webhook(headers=_headers(*HEADERS), **EVERYTHING)
    changed = _update(world, made.id, "headers", headers=_headers(("X-New", "1")))
    assert (list(changed.header_names), changed.rate_limit_per_s) == (["X-New"], 2.5)
    assert _stored(world, made.id).headers == (("X-New", "1"),)
    _update(world, made.id, "name", name="x", headers=_headers(*HEADERS))
    assert _stored(world, made.id).headers == (("X-New", "1"),)
    assert list(_update(world, made.id, "headers").header_names) == []
    assert _stored(world, made.id).headers == ()


@pytest.mark.parametrize(("field", "new"), [("rate_limit_per_s", 0.5), ("max_concurrency", 9)])
def test_a_limit_is_changed_by_a_value_and_taken_away_by_none(world: World, field: str, new: float) -> None:
    """The other one stays as it is."""
    made = world.a_webhook(**EVERYTHING)
    other = next(name for name in EVERYTHING if name != field)
    changed = _update(world, made.id, field, **{field: new})
    assert (getattr(changed, field), getattr(changed, other)) == (new, EVERYTHING[other])
    without = _update(world, made.id, field)
    assert not without.HasField(field)  # type: ignore[arg-type]  # the stubs want literals
    assert getattr(_stored(world, made.id), field) is None
    assert getattr(without, other) == EVERYTHING[other]


def test_an_endpoint_gets_the_newest_version_of_payloads_or_the_one_that_it_names(world: World) -> None:
    """Shown by every answer; one that wants a later release's keeps it until it is changed."""
    made, named = world.a_webhook(), world.a_webhook(payload_version=1)
    assert (made.payload_version, named.payload_version) == (NEWEST, 1)
    with world.units() as unit:
        unit.webhooks.update(replace(_stored(world, made.id), payload_version=NEWEST + 1))
        unit.commit()
    assert _update(world, made.id, "name", name="Other").payload_version == NEWEST + 1
    assert _update(world, made.id, "payload_version", payload_version=1) == _get(world, made.id)
    assert _get(world, made.id).payload_version == 1
    with pytest.raises(grpc.RpcError) as caught:
        _update(world, made.id, "payload_version")
    assert "payload_version: is 0; allowed are 1 to 1" in (caught.value.details() or "")


def test_pausing_says_since_when_and_resuming_ends_it(world: World) -> None:
    """Pausing once more doesn't begin anew; another change leaves the pause as it is."""
    made, before = world.a_webhook(), datetime.now(UTC)
    paused = _update(world, made.id, "paused", paused=True)
    since = paused.paused_at.ToDatetime(tzinfo=UTC)
    assert paused.paused
    assert before <= since <= datetime.now(UTC)
    for still in (
        _update(world, made.id, "paused", paused=True),
        _update(world, made.id, "name", name="x"),
        _get(world, made.id),
    ):
        assert (still.paused, still.paused_at) == (True, paused.paused_at)
    assert _stored(world, made.id).paused_at == since
    resumed = _update(world, made.id, "paused")
    assert (resumed.paused, resumed.HasField("paused_at"), resumed.enabled) == (False, False, True)
    assert _stored(world, made.id).paused_at is None


def test_headers_that_no_key_decrypts_are_shown_until_they_are_replaced(world: World) -> None:
    """A new secret doesn't hide them, and they don't make an unsigned endpoint look signed."""
    made = world.a_webhook(headers=_headers(*HEADERS))
    _make_unreadable(world, made.id, secret_unreadable=False)
    shown = _get(world, made.id)
    assert (shown.secret_unavailable, shown.signed, list(shown.header_names)) == (True, False, list(made.header_names))
    rotated = world.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=made.id))
    assert (rotated.secret_unavailable, rotated.signed) == (True, True)
    replaced = _update(world, made.id, "headers", headers=_headers(("X-New", "1")))
    assert (replaced.secret_unavailable, replaced.signed) == (False, True)


def test_a_secret_that_no_key_decrypts_is_shown_until_it_is_rotated(world: World) -> None:
    """New headers don't hide it."""
    made = world.a_webhook(headers=_headers(*HEADERS), generate_secret=True)
    _make_unreadable(world, made.id, secret_unreadable=True)
    replaced = _update(world, made.id, "headers", headers=_headers(("X-New", "1")))
    assert (replaced.secret_unavailable, replaced.signed) == (True, True)
    rotated = world.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=made.id))
    assert (rotated.secret_unavailable, rotated.signed) == (False, True)


def _make_unreadable(world: World, webhook_id: str, *, secret_unreadable: bool) -> None:
    """Store it as it is read where the keys are gone."""
    stored = _stored(world, webhook_id)
    blind = replace(stored, secret=None, headers=(), secret_unavailable=True, secret_unreadable=secret_unreadable)
    with world.units() as unit:
        unit.webhooks.update(blind)
        unit.commit()
