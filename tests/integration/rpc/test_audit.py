"""The audit trail over gRPC: every call that changes something leaves one entry, and holds no secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.domain.access import Scope
from noteflow_hooks.persistence.memory import InMemoryAuditTrail
from noteflow_hooks.rpc.interceptors.scopes import SCOPES
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.known import a_dead_delivery, a_skipped_delivery
from tests.integration.rpc.methods import METHODS, Method, calling
from tests.integration.rpc.sqlworld import all_rows, connected
from tests.integration.rpc.test_lost_connections import CALLS
from tests.integration.rpc.world import World, refused
from tests.support.builders import a_payload
from tests.support.canary_secrets import CanarySecret, CanarySecrets, found, letters
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from noteflow_hooks.domain.audit.entries import AuditEntry

#: Calls that need `manage` and change nothing.
READING: Final = ("ListAuditEntries", "PreviewPayload")
CHANGING: Final = [each for each in METHODS if SCOPES[each.path] is Scope.MANAGE and each.name not in READING]
NOWHERE: Final = "01234567-89ab-cdef-0123-456789abcdef"

#: How a new endpoint is told.
REGISTERED: Final = {
    "enabled": True,
    "events": ["meeting.completed"],
    "header_names": [],
    "max_retries": 3,
    "name": "One",
    "paused": False,
    "payload_version": 1,
    "secret": "changed",
    "signing": "hmac",
    "timeout_ms": 10_000,
    "url": "https://a.example:8443/…",
}


def _listed(world: World, **fields: Any) -> list[pb.AuditEntry]:  # noqa: ANN401 - the message's own
    """Return the trail as a caller sees it, oldest first."""
    answer = world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(**fields))
    return list(reversed(answer.audit_entries))


def _stored(world: World) -> list[AuditEntry]:
    with world.units() as unit:
        return list(reversed(unit.audit.list_page(world.workspace_id, limit=1000)))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_call_that_changes_with_manage_leaves_one_entry_and_no_other_any(world: World, method: Method) -> None:
    """It says which token has done it, and to what; a new RPC is held to it, too."""
    fields = CALLS[method.name](world)
    token, record = world.another_token(hint="abcd")
    before = len(_stored(world))
    with calling(world.address, token) as caller:
        code, line, _ = caller.call(method, **fields)
    assert code is grpc.StatusCode.OK, line
    new = _stored(world)[before:]
    assert len(new) == (1 if method in CHANGING else 0)
    for each in new:
        assert (each.actor_kind, each.actor, each.actor_hint) == ("token", str(record.id), "abcd")
        assert each.target_id
        assert each.request_id == fields.get("request_id")


@pytest.mark.parametrize("method", CHANGING, ids=lambda method: method.name)
def test_a_call_that_is_refused_leaves_none(world: World, method: Method) -> None:
    """What is not there is not changed."""
    named = {name: NOWHERE for name in method.id_fields if name != "meeting_id"}
    fields = CALLS[method.name](world) | named
    if not named:
        fields = {
            "RegisterWebhook": {"url": "http://forbidden.example/"},
            "EraseMeetingPayloads": {"meeting_id": ""},
        }.get(method.name, {"name": "custom.nowhere"})
    before = len(_stored(world))
    with calling(world.address, world.token) as caller:
        assert caller.call(method, **fields)[0] in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    assert len(_stored(world)) == before


def test_a_repeated_request_and_a_dry_run_leave_none(world: World) -> None:
    """They change nothing. The first one names its request id."""
    fields: dict[str, Any] = {"url": "https://receiver.example/hooks", "request_id": "once"}
    for _ in range(3):
        world.client.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(**fields))
    world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(dry_run=True))
    assert [(each.action, each.request_id) for each in _listed(world)] == [("webhook.registered", "once")]


@pytest.mark.parametrize("method", CHANGING, ids=lambda method: method.name)
@pytest.mark.usefixtures("known_tokens")
def test_there_is_no_change_without_its_entry(stored_world: World, database_url: str, method: Method) -> None:
    """Where the database refuses the entry, nothing is changed, and nobody is woken for it."""
    fields = CALLS[method.name](stored_world)
    world = stored_world
    with calling(world.address, world.token) as caller, connected(database_url) as connection:
        connection.execute("ALTER TABLE noteflow.audit_log ADD CONSTRAINT broken CHECK (false) NOT VALID")
        try:
            before, announced = all_rows(database_url), len(world.announced)
            assert caller.call(method, **fields)[0] is grpc.StatusCode.INTERNAL
            assert all_rows(database_url) == before
            assert len(world.announced) == announced
        finally:
            connection.execute("ALTER TABLE noteflow.audit_log DROP CONSTRAINT broken")
        assert caller.call(method, **fields)[0] is grpc.StatusCode.OK


def test_memory_does_not_change_without_its_entry_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit whose entry fails is dropped as a whole."""
    webhook = world.a_webhook()

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(InMemoryAuditTrail, "add", fail)
    with refused(grpc.StatusCode.INTERNAL):
        world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook.id))
    assert world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id)).id == webhook.id


def test_a_change_is_told_by_its_fields(world: World) -> None:
    """Only those that differ: URLs as host and …, secrets and headers as changed."""
    webhook = world.a_webhook(url="https://a.example:8443/one?key=1", name="One", secret="s" * 32)
    changed: dict[str, Any] = {"url": "https://a.example:8443/two", "name": "Two", "paused": True, "timeout_ms": 10_000}
    headers = [pb.Header(name="X-Key", value="value")]
    mask = FieldMask(paths=[*changed, "headers"])
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=mask, headers=headers, **changed)
    world.client.webhooks.UpdateWebhook(request)
    world.client.webhooks.RotateWebhookSecret(
        pb.RotateWebhookSecretRequest(webhook_id=webhook.id, overlap_seconds=60, request_id="rotate")
    )
    world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook.id))
    registered, updated, rotated, deleted = _listed(world, target_id=webhook.id)
    assert not registered.HasField("old")
    assert json.loads(registered.new) == REGISTERED
    assert json.loads(updated.old) == {
        "name": "One",
        "paused": False,
        "url": "https://a.example:8443/…",
        "header_names": [],
    }
    assert json.loads(updated.new) == {
        "name": "Two",
        "paused": True,
        "url": "https://a.example:8443/…",
        "header_names": ["X-Key"],
        "headers": "changed",
    }
    assert json.loads(rotated.old) == {"secret": "changed"}
    assert json.loads(rotated.new) == {"secret": "changed", "overlap_seconds": 60.0}
    assert (rotated.request_id, updated.HasField("request_id")) == ("rotate", False)
    assert json.loads(deleted.old)["name"] == "Two"
    assert not deleted.HasField("new")


def test_a_redelivery_and_a_replay_say_what_they_send_again(world: World) -> None:
    """With the state before, and the replay's filters."""
    webhook = world.a_webhook()
    delivery_id = a_skipped_delivery(world, webhook)
    world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))
    replay = world.client.webhooks.ReplayDeliveries(
        pb.ReplayDeliveriesRequest(webhook_id=webhook.id, status="dead", rate_per_s=5)
    )
    world.client.webhooks.CancelReplay(pb.CancelReplayRequest(replay_id=replay.id))
    redelivered, started, cancelled = _listed(world)[1:]
    assert (redelivered.action, redelivered.target_kind, redelivered.target_id) == (
        "delivery.redelivered",
        "delivery",
        delivery_id,
    )
    assert json.loads(redelivered.old) == {"status": "skipped", "attempts": 0}
    assert json.loads(redelivered.new) == {"status": "pending"}
    asked = json.loads(started.new)
    assert (started.target_id, asked["webhook_id"], asked["status"], asked["rate_per_s"]) == (
        replay.id,
        webhook.id,
        "dead",
        5.0,
    )
    assert (json.loads(cancelled.old)["state"], json.loads(cancelled.new)["state"]) == ("running", "cancelled")


def test_giving_up_a_delivery_is_told_and_refused_of_any_other(world: World) -> None:
    """With its state before; what was given up already is refused, and that has no entry."""
    webhook = world.a_webhook()
    delivery_id = a_dead_delivery(world, webhook)
    answer = world.client.webhooks.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=delivery_id))
    assert (answer.status, answer.skip_reason) == ("skipped", "given_up")
    with pytest.raises(grpc.RpcError) as caught:
        world.client.webhooks.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=delivery_id))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    [entry] = _listed(world)[1:]
    assert (entry.action, entry.target_kind, entry.target_id) == ("delivery.skipped", "delivery", delivery_id)
    assert json.loads(entry.old) == {"status": "dead"}
    assert json.loads(entry.new) == {"status": "skipped", "skip_reason": "given_up"}


def test_the_trail_is_for_tokens_with_manage_and_of_their_own_workspace(world: World) -> None:
    """Who may only look need not know what others do; another workspace's entries are not there."""
    webhook = world.a_webhook()
    token, _ = world.another_token(scopes=frozenset({Scope.READ, Scope.PUBLISH}))
    client = WireClient(world.address, token)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "ListAuditEntries needs the scope manage"):
        client.audit.ListAuditEntries(pb.ListAuditEntriesRequest())
    client.close()
    with world.stranger() as stranger:
        filters: list[dict[str, Any]] = [{}, {"target_id": webhook.id}, {"id_prefix": _listed(world)[0].id}]
        for fields in filters:
            answer = stranger.audit.ListAuditEntries(pb.ListAuditEntriesRequest(**fields, with_total=True))
            assert (list(answer.audit_entries), answer.total) == ([], 0)


def test_the_trail_is_there_while_webhooks_are_switched_off() -> None:
    """Tokens are made and revoked all the same."""
    with World(webhooks=False) as world:
        assert _listed(world) == []


def test_the_list_is_filtered_and_paged_as_any_other(world: World) -> None:
    """By each of its fields; a page's token goes on where the page ended, whatever is written meanwhile."""
    webhooks = [world.a_webhook(name=f"W{number}") for number in range(5)]
    world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhooks[0].id))
    entries = _listed(world)
    assert [each.action for each in entries] == ["webhook.registered"] * 5 + ["webhook.deleted"]
    middle = entries[2].at
    filters: list[tuple[dict[str, Any], int]] = [
        ({"actor_kind": "token"}, 6),
        ({"actor_kind": "system"}, 0),
        ({"actor": entries[0].actor}, 6),
        ({"action": "webhook.deleted"}, 1),
        ({"target_kind": "webhook", "target_id": webhooks[0].id}, 2),
        ({"created_after": middle}, 4),
        ({"created_before": middle}, 2),
        ({"id_prefix": entries[3].id}, 1),
        ({"action": "", "actor": "", "target_id": "", "id_prefix": ""}, 6),
    ]
    for fields, count in filters:
        assert len(_listed(world, **fields)) == count, fields
    seen, token = [], ""
    while True:
        request = pb.ListAuditEntriesRequest(page_size=2, page_token=token, with_total=True)
        page = world.client.audit.ListAuditEntries(request)
        assert page.total >= 6
        seen += [each.id for each in page.audit_entries]
        token = page.next_page_token
        if not token:
            break
        world.a_webhook()
    assert seen == [each.id for each in reversed(entries)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "webhook.eaten"}, ("action", "webhook.deleted", "webhook.registered")),
        ({"actor_kind": "me"}, ("actor_kind", "cli, system, token")),
        ({"target_kind": "cow"}, ("target_kind", "webhook")),
        ({"target_id": "x" * 256}, ("target_id", "255")),
        ({"actor": "\x00"}, ("actor",)),
        ({"page_size": 501}, ("page_size", "1 to 500")),
        ({"page_token": "?"}, ("page_token",)),
        ({"id_prefix": "x"}, ("id_prefix",)),
    ],
)
def test_a_filter_that_can_t_be_is_refused_with_its_name_and_what_may_be(
    world: World, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    """Nobody takes an empty list for an answer."""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, *words):
        world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(**fields))


def test_a_period_that_ends_before_it_begins_is_refused(world: World) -> None:
    """As in every list."""
    moments = [Timestamp(), Timestamp()]
    for each, by in zip(moments, (0, 1), strict=True):
        each.FromDatetime(datetime.now(UTC) - timedelta(days=by))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "created_after"):
        _listed(world, created_after=moments[0], created_before=moments[1])


@pytest.fixture
def canaries() -> CanarySecrets:
    """Secrets that stand nowhere else."""
    return CanarySecrets()


def _told(world: World, canaries: CanarySecrets, payload: str) -> list[pb.AuditEntry]:
    """Put the canaries through every call that takes one, and return the entries of that."""
    before = len(_listed(world))
    service, url = world.client.webhooks, f"https://receiver.example/{canaries.path}?key={canaries.query}"
    webhook = world.a_webhook(
        url=url,
        secret=canaries.of_endpoints[0],
        headers=[pb.Header(name=n, value=v) for n, v in canaries.headers.items()],
    )
    later = [pb.Header(name=name, value=value) for name, value in canaries.later_headers.items()]
    mask = FieldMask(paths=["url", "headers"])
    service.UpdateWebhook(
        pb.UpdateWebhookRequest(webhook_id=webhook.id, update_mask=mask, url=f"{url}&again=1", headers=later)
    )
    service.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook.id, secret=canaries.of_endpoints[1]))
    service.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
    meeting = world.a_meeting(title=payload)
    published = a_payload(title=payload, meeting_id=meeting.id)
    world.client.events.PublishEvent(
        pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(published))
    )
    service.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=a_skipped_delivery(world, webhook)))
    service.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=a_dead_delivery(world, webhook)))
    world.client.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=meeting.id))
    service.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook.id))
    return _listed(world)[before:]


def test_no_secret_no_path_and_no_text_gets_into_the_trail(
    stored_world: World, database_url: str, canaries: CanarySecrets
) -> None:
    """Neither into the rows nor into the answers; the same search finds the endpoint's id there."""
    payload = letters()
    canaries.token = stored_world.token
    entries = _told(stored_world, canaries, payload)
    rows = "\n".join(all_rows(database_url)["audit_log"]).encode()
    answers = b"\n".join(each.SerializeToString() + str(each).encode() for each in entries)
    secret = [*canaries.everywhere, *canaries.of_urls, CanarySecret.of("payload", payload)]
    assert len(entries) == 8
    for corpus in (rows, answers):
        assert found(secret, corpus) == set()
        assert found([CanarySecret.of("shown", entries[0].target_id)], corpus)
