"""Client certificates at the edge: set, changed, refused and shown over gRPC; the key never comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from noteflow_hooks.rpc.messages.requests import _take_secrets
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World
from tests.support.client_certificates import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Issuer.root()
PAIR: Final = ROOT.pair(name="CRM")
OWN: Final[dict[str, Any]] = {"client_certificate": PAIR.certificate, "client_key": PAIR.key}
#: A piece of the key that stands nowhere else.
CANARY: Final = PAIR.key.splitlines()[1][20:50]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def register(world: World, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    request = pb.RegisterWebhookRequest(**{"url": "https://receiver.example/", **fields})
    return world.client.webhooks.RegisterWebhook(request)


def update(world: World, webhook: pb.Webhook, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **fields)
    request.update_mask.paths.extend(fields)
    return world.client.webhooks.UpdateWebhook(request)


def violations(call: Callable[[], object]) -> dict[str, str]:
    """Return what is refused, by field."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert CANARY not in str(error)
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    for each in status.details:
        found = error_details_pb2.BadRequest()
        if each.Unpack(found):
            return {violation.field: violation.description for violation in found.field_violations}
    raise AssertionError("no violations")


def test_what_was_set_is_shown_and_the_key_is_not(world: World) -> None:
    """By each call that answers with an endpoint, and in the audit trail."""
    made = register(world, **OWN, server_ca=ROOT.pem)
    answers: list[Any] = [
        made,
        world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=made.id)),
        *world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks,
        update(world, made, name="renamed"),
    ]
    for each in answers:
        info = each.client_certificate_info
        assert (info.subject, info.issuer, len(info.sha256)) == ("CN=CRM", "CN=Root", 64)
        assert info.not_after.ToDatetime(tzinfo=UTC) > datetime.now(UTC) + timedelta(days=300)
        assert [ca.subject for ca in each.server_ca_info] == ["CN=Root"]
        assert not each.secret_unavailable
    world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=made.id))
    trail = world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest())
    said = f"{answers}{trail}"
    assert CANARY not in said
    assert "PRIVATE" not in said
    assert '"client_key":"changed"' in str(trail).replace("\\", "").replace(" ", "")


def test_an_endpoint_without_has_nothing_to_show(world: World) -> None:
    """An empty text is none."""
    for made in (register(world), register(world, client_certificate="", client_key="", server_ca="")):
        assert not made.HasField("client_certificate_info")
        assert not made.server_ca_info


def test_a_certificate_is_renewed_replaced_and_taken_away(world: World) -> None:
    """With the stored key, with a new one, and with its key."""
    made = register(world, **OWN)
    other = ROOT.pair(name="other")
    changed = update(world, made, client_certificate=other.certificate, client_key=other.key)
    assert changed.client_certificate_info.subject == "CN=other"
    refused = violations(lambda: update(world, made, client_certificate=PAIR.certificate))
    assert refused == {"client_key": "does not fit client_certificate; allowed is the key of its first one"}
    assert update(world, made, client_certificate=other.certificate, name="n").name == "n"
    assert update(world, made, server_ca=ROOT.pem).server_ca_info[0].subject == "CN=Root"
    bare = update(world, made, client_certificate="")
    assert not bare.HasField("client_certificate_info")
    assert bare.server_ca_info
    assert not update(world, made, server_ca="").server_ca_info


def test_all_that_is_wrong_is_said_at_once(world: World) -> None:
    """The certificate's faults with all others, at registration and at a change."""
    bad = {"client_certificate": "no certificate", "client_key": "no key", "server_ca": "no authority"}
    refused = violations(lambda: register(world, **bad, timeout_ms=1, name=""))
    assert refused.keys() == {"client_certificate", "client_key", "server_ca", "timeout_ms", "name"}
    assert all("allowed" in refused[name] for name in bad)
    made = register(world)
    refused = violations(lambda: update(world, made, **bad, timeout_ms=1))
    assert refused.keys() == {"client_certificate", "client_key", "server_ca", "timeout_ms"}


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"client_certificate": PAIR.certificate}, "client_key"),
        ({"client_key": PAIR.key}, "client_certificate"),
        ({"url": "http://localhost:1/", **OWN}, "url"),
        ({"url": "http://localhost:1/", "server_ca": ROOT.pem}, "url"),
    ],
)
def test_what_does_not_go_together_is_refused(world: World, fields: dict[str, Any], refused: str) -> None:
    """A certificate without its key, a key without its certificate, and either over http."""
    assert violations(lambda: register(world, **fields)).keys() == {refused}
    made = register(world)
    assert violations(lambda: update(world, made, **fields)).keys() == {refused}


def test_an_endpoint_with_a_certificate_does_not_move_to_http(world: World) -> None:
    """There it could not show it."""
    made = register(world, **OWN)
    assert violations(lambda: update(world, made, url="http://localhost:1/")).keys() == {"url"}
    assert update(world, made, url="http://localhost:1/", client_certificate="").url == "http://localhost:1/"


def test_of_a_key_a_slow_digest_is_kept() -> None:
    """Like a secret's: it is taken out of the message before the rest is digested quickly."""
    request = pb.RegisterWebhookRequest(url="https://h/", request_id="r", **OWN)
    taken = _take_secrets(request)
    assert ["client_key", PAIR.key] in taken
    assert not request.HasField("client_key")


def test_a_repeated_request_is_the_same_by_its_key_too(world: World) -> None:
    """Another key under the same request id is another request."""
    first = register(world, **OWN, request_id="r1")
    assert register(world, **OWN, request_id="r1").id == first.id
    key = ROOT.pair()
    with pytest.raises(grpc.RpcError) as caught:
        register(world, client_certificate=key.certificate, client_key=key.key, request_id="r1")
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
