"""WhoAmI: whose the token is, what it may do, and the limits that the server really keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from noteflow_hooks.domain.access import Scope
from noteflow_hooks.domain.paging import MAX_PAGE_SIZE
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.rpc.interceptors.limits import CallerLimits
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.wire_client import WireClient


def who(world: World, token: str) -> pb.WhoAmIResponse:
    """Return what the token is told."""
    client = WireClient(world.address, token)
    try:
        return client.webhooks.WhoAmI(pb.WhoAmIRequest())
    finally:
        client.close()


@pytest.mark.parametrize("scope", list(Scope))
def test_any_token_is_told_whose_it_is_and_what_it_may(world: World, scope: Scope) -> None:
    """Whatever its scope; its name, hint and end are those of its record."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    token, record = world.another_token(scopes=frozenset({scope}), name="laptop", hint="wxyz", expires_at=end)
    found = who(world, token)
    assert (found.workspace_id, found.token_id) == (str(world.workspace_id), str(record.id))
    assert (found.token_name, found.token_hint, list(found.scopes)) == ("laptop", "wxyz", [scope])
    assert found.expires_at.ToDatetime(tzinfo=UTC) == end
    assert found.webhooks_enabled


def test_a_token_without_an_end_has_none_and_the_workspace_its_name(stored_world: World) -> None:
    """As PostgreSQL has it; scopes are sorted."""
    found = who(stored_world, stored_world.token)
    with stored_world.units() as unit:
        workspace = unit.access.get_workspace(stored_world.workspace_id)
    assert workspace is not None
    assert found.workspace_name == workspace.name
    assert not found.HasField("expires_at")
    assert list(found.scopes) == ["manage", "publish", "read"]


def test_no_answer_has_the_token_or_its_hash(world: World) -> None:
    """Only its last characters, where they are kept."""
    found = str(who(world, world.token))
    assert world.token not in found
    assert world.token[5:-4] not in found


def test_it_needs_a_token_and_works_while_webhooks_are_off() -> None:
    """And says that they are off, which every other call of the service would refuse with."""
    with World(webhooks=False) as world:
        assert not who(world, world.token).webhooks_enabled
        with refused(grpc.StatusCode.UNAUTHENTICATED):
            who(world, "nfh_nobody")


def test_the_limits_are_those_that_the_server_keeps() -> None:
    """Each that is told is the one that refuses: a page, the calls a second, registrations, streams."""
    limits = CallerLimits(token_calls_per_s=3, registrations_per_minute=2, streams_per_workspace=7)
    with World(limits=limits) as world:
        told = who(world, world.token).limits
        assert (told.calls_per_s, told.registrations_per_minute, told.open_streams) == (3, 2, 7)
        assert (told.max_page_size, told.payload_bytes) == (MAX_PAGE_SIZE, PAYLOAD_LIMIT_BYTES)
        with refused(grpc.StatusCode.INVALID_ARGUMENT, str(told.max_page_size)):
            world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=told.max_page_size + 1))
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {told.calls_per_s} calls a second"):
            for _ in range(2 * told.calls_per_s + 1):
                world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest())
