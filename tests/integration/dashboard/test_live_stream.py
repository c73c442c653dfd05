"""The stream that the page of what is live reads: whose it is, how many there may be, and when it ends."""

from __future__ import annotations

import http.client
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from noteflow_hooks.dashboard import streaming
from noteflow_hooks.dashboard.sealing import Sealer
from noteflow_hooks.dashboard.sessions import IDLE_S, Sessions
from tests.integration.dashboard.sample import publish, work
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.dashboard import SECRET, Dashboard
from tests.support.visitor import Visitor
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextmanager
def _stream(visitor: Visitor, query: str = "") -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=PATIENCE_S)
    jar = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    connection.request("GET", f"/live/stream{query}", headers={"cookie": jar, "x-live": "1"})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def _next(response: http.client.HTTPResponse) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(response.readline())
    return line


def test_what_happens_comes_as_rows_that_are_no_markup_of_others(world: World, operator: Visitor) -> None:
    """First that the stream has begun, then a row for each delivery that matches the address."""
    made = world.a_webhook(name="<b>CRM</b>", url="https://a.example/well")
    world.a_webhook(name="Billing", url="https://a.example/broken")
    with _stream(operator, f"?webhook_id={made.id}") as response:
        assert response.getheader("content-type", "").startswith("application/x-ndjson")
        assert "row" not in _next(response)
        publish(world)
        work(world)
        row = _next(response)["row"]
        assert "Delivered" in row
        assert "&lt;b&gt;CRM&lt;/b&gt;" in row


def test_what_was_missed_since_a_moment_comes_first(world: World, operator: Visitor) -> None:
    """A page that was hidden goes on where it was; a moment that is too long ago is refused in words."""
    world.a_webhook(url="https://a.example/well")
    with _stream(operator) as response:
        at = _next(response)["at"]
    publish(world)
    work(world)
    with _stream(operator, f"?since={at}") as response:
        assert "row" not in _next(response)
        assert "Delivered" in _next(response)["row"]
    assert operator.get("/live/stream?since=2020-01-01T00:00").status == 400


def test_another_workspaces_deliveries_are_not_told(world: World, operator: Visitor) -> None:
    """Whatever the address names: its own come alone."""
    world.a_webhook(url="https://a.example/well")
    stranger = Visitor(operator.port)
    stranger.sign_in(world.make_token()[0])
    with _stream(stranger) as theirs, _stream(operator) as ours:
        _next(theirs)
        _next(ours)
        publish(world)
        work(world)
        assert "row" in _next(ours)
        world.stop()
        assert theirs.readline() == b""


def test_there_are_so_many_streams_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused in words, and pages are answered all the same; one that was left makes room."""
    monkeypatch.setattr(streaming, "MOST", 2)
    with Dashboard(world.address) as dashboard:
        visitor = Visitor(dashboard.port)
        visitor.sign_in(world.token)
        with _stream(visitor) as first, _stream(visitor) as second:
            _next(first)
            _next(second)
            refused = visitor.get("/live/stream", x_live="1")
            assert (refused.status, "2 pages are live already" in refused.text) == (429, True)
            assert visitor.get("/endpoints").status == 200
        world.a_webhook(url="https://a.example/well")
        # Whether somebody has left shows with the next line that is sent.
        publish(world)
        work(world)
        until(lambda: _begins(visitor), what="a stream that was left makes room")


def _begins(visitor: Visitor) -> bool:
    with _stream(visitor) as response:
        return response.status == 200 and "at" in _next(response)


def test_a_stream_is_no_use_of_the_session_and_ends_with_it() -> None:
    """30 minutes after the last use what comes next ends it, and a new one is refused."""
    now = [1_000_000.0]
    sessions = Sessions(Sealer(SECRET), clock=lambda: now[0])
    with World(limits=UNLIMITED) as world, Dashboard(world.address, sessions=sessions) as dashboard:
        world.a_webhook(url="https://a.example/well")
        visitor = Visitor(dashboard.port)
        visitor.sign_in(world.token)
        with _stream(visitor) as response:
            assert response.getheader("set-cookie") is None
            _next(response)
            now[0] += IDLE_S
            publish(world)
            work(world)
            assert response.readline() == b""
        assert visitor.get("/live/stream", x_live="1").status == 401


def test_a_token_that_is_revoked_ends_its_stream(world: World, dashboard: Dashboard) -> None:
    """Within seconds, and the next one is refused."""
    token, record = world.another_token()
    visitor = Visitor(dashboard.port)
    visitor.sign_in(token)
    with _stream(visitor) as response:
        _next(response)
        world.revoke(record.id)
        assert response.readline() == b""
    assert visitor.get("/live/stream", x_live="1").status == 401
