"""The page on which an endpoint's filter is tried on past events before it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from noteflow_hooks.domain.access import Scope
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.sample import publish

if TYPE_CHECKING:
    from tests.integration.rpc.world import World
    from tests.support.visitor import Visitor

_LONG = 'data.title == "Long"'


def _filter(world: World, webhook_id: str) -> str:
    return world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id)).filter


def test_a_filter_is_tried_first_and_set_as_it_was_tried(world: World, operator: Visitor) -> None:
    """Nothing changes before; afterwards the endpoint has what was tried, and it can be taken away again."""
    made = world.a_webhook(url="https://a.example/well")
    publish(world, title="Long")
    publish(world, title="Short")
    at = f"/endpoints/{made.id}/filter"
    tried = operator.get(f"{at}?{urlencode({'filter': _LONG, 'last_n': '10'})}").text
    assert "<strong>1</strong> sent</li><li><strong>1</strong> held back" in tried
    assert _filter(world, made.id) == ""
    assert operator.press(at, {"filter": _LONG}).location == f"/endpoints/{made.id}?done=filtered"
    assert _filter(world, made.id) == _LONG
    assert "Take the filter away" in operator.get(f"{at}?filter=&last_n=10").text
    operator.press(at, {"filter": ""})
    assert _filter(world, made.id) == ""


def test_a_filter_that_is_none_is_refused_by_its_field(world: World, operator: Visitor) -> None:
    """And so is a number of events that is none; what was typed stays."""
    at = f"/endpoints/{world.a_webhook().id}/filter"
    for query in ({"filter": "data.(", "last_n": "10"}, {"filter": "true", "last_n": "many"}):
        page = operator.get(f"{at}?{urlencode(query)}")
        assert (page.status, 'id="filter-problem"' in page.text) == (422, True)
    assert "data.(" in operator.get(f"{at}?{urlencode({'filter': 'data.('})}").text


def test_a_token_that_may_only_look_may_try_and_not_set(world: World, visitor: Visitor) -> None:
    """It is shown no button, and refused all the same; another workspace's endpoint is not there."""
    made = world.a_webhook()
    token, _ = world.another_token(scopes=frozenset({Scope.READ}))
    visitor.sign_in(token)
    page = visitor.get(f"/endpoints/{made.id}/filter?filter=false")
    assert (page.status, page.text.count('method="post"')) == (200, 1)
    assert visitor.press(f"/endpoints/{made.id}/filter", {"filter": "false"}).status == 403
    visitor.sign_in(world.make_token()[0])
    assert visitor.get(f"/endpoints/{made.id}/filter?filter=true").status == 404
    assert visitor.press(f"/endpoints/{made.id}/filter", {"filter": "false"}).status == 404
