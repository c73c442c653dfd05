"""What keeps the dashboard from strangers, from other sites, and from what others wrote."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.dashboard.sealing import Sealer
from noteflow_hooks.dashboard.sessions import IDLE_S, LONGEST_S, Sessions
from noteflow_hooks.dashboard.signing_in import TRIES, Tries
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.sample import fill, publish, work
from tests.support.dashboard import SECRET, Dashboard
from tests.support.visitor import OWN, Visitor
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.rpc.world import World

_ORDERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.mark.parametrize("path", ["/sign-in", "/overview", "/endpoints", "/nowhere", "/alive", "/find?q=x"])
def test_every_answer_orders_the_browser_what_it_may_do(operator: Visitor, path: str) -> None:
    """No script or frame of elsewhere, no referrer, no copy on disk."""
    headers = operator.get(path).headers
    assert {name: headers.get(name) for name in _ORDERS} == _ORDERS


def test_a_refusal_has_these_orders_too(visitor: Visitor) -> None:
    """Also what never reaches a page."""
    assert _ORDERS.items() <= visitor.get("/endpoints", host="elsewhere.example").headers.items()


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "127.0.0.1.elsewhere.example:1",
        "[::2]:8088",
        "",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "@127.0.0.1",
    ],
)
def test_another_name_is_refused(visitor: Visitor, host: str) -> None:
    """So a name that somebody lets lead here reads nothing."""
    assert visitor.get("/sign-in", host=host).status == 421


@pytest.mark.parametrize("host", ["localhost:{}", "127.0.0.1:{}", "[::1]:{}", "LOCALHOST"])
def test_loopbacks_names_are_taken(visitor: Visitor, host: str) -> None:
    """With any port: a container's is another outside."""
    assert visitor.get("/sign-in", host=host.format(visitor.port)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/overview",
        "/live",
        "/live/stream",
        "/endpoints",
        "/deliveries/x",
        "/audit",
        "/find?q=1",
        "/replays/new",
        "/keys",
    ],
)
def test_who_is_not_signed_in_sees_the_sign_in_alone(visitor: Visitor, path: str) -> None:
    """Whatever is asked for."""
    answer = visitor.get(path)
    assert (answer.status, answer.location) == (303, "/sign-in")


def test_the_cookie_is_for_this_host_and_no_script(world: World, visitor: Visitor) -> None:
    """And no part of the token can be read in it."""
    [kept, dropped] = visitor.sign_in(world.token).cookies
    assert kept.startswith(f"__Host-noteflow-hooks-{visitor.port}=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure", f"Max-Age={LONGEST_S}"} <= set(kept.split("; "))
    assert "Domain" not in kept
    assert world.token not in kept
    assert "Max-Age=0" in dropped


@pytest.mark.parametrize("token", ["", "nfh_unknown", "no token\n", "é" * 20])
def test_a_token_that_opens_nothing_signs_nobody_in(visitor: Visitor, token: str) -> None:
    """It is told in one line, without the token."""
    answer = visitor.sign_in(token)
    assert answer.status == 403
    assert "The server does not know this token." in answer.text
    assert visitor.get("/endpoints").location.startswith("/sign-in")


def test_a_token_without_read_is_told_so(world: World, visitor: Visitor) -> None:
    """It could see nothing."""
    token, _ = world.another_token(scopes=frozenset({Scope.PUBLISH}))
    assert "needs the scope `read`" in visitor.sign_in(token).text


def test_signing_in_makes_a_new_session(world: World, visitor: Visitor) -> None:
    """Whatever session was planted before: with it nobody gets in afterwards as somebody else."""
    planted = Visitor(visitor.port)
    planted.sign_in(world.make_token()[0])
    before = dict(planted.cookies)
    victim = Visitor(visitor.port, cookies=dict(before))
    victim.sign_in(world.token)
    webhook = world.a_webhook(name="of the victim")
    assert victim.get(f"/endpoints/{webhook.id}").status == 200
    attacker = Visitor(visitor.port, cookies=before)
    assert attacker.get(f"/endpoints/{webhook.id}").status == 404
    assert set(victim.cookies.values()).isdisjoint(before.values())


def test_a_sign_in_needs_the_page_that_was_shown(world: World, visitor: Visitor) -> None:
    """Another site can't sign somebody in as somebody else."""
    page = Visitor(visitor.port).get("/sign-in")
    answer = visitor.post("/sign-in", {"token": world.token, "form_token": page.form_token})
    assert answer.status == 403
    assert "has sent no cookie back" in answer.text


def test_ten_sign_ins_a_minute_are_enough(world: World, visitor: Visitor) -> None:
    """The next try is refused, with how long to wait; even one with the right token."""
    for _ in range(TRIES):
        visitor.sign_in("nfh_wrong")
    answer = visitor.sign_in(world.token)
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_tries_are_forgotten_after_a_minute() -> None:
    """Each by itself, of each address by itself."""
    now = [0.0]
    tries = Tries(clock=lambda: now[0])
    assert [tries.wait_s("a") for _ in range(TRIES + 1)] == [0.0] * TRIES + [60.0]
    assert tries.wait_s("b") == 0
    now[0] = 60.0
    assert tries.wait_s("a") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://elsewhere.example"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site", "origin": "null"},
        {"sec-fetch-site": "same-site", "origin": "null"},
        {"sec-fetch-site": "none", "origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "https://elsewhere.example"},
        {"sec-fetch-site": "cross-site", "origin": "OWN"},
    ],
)
def test_a_form_of_another_site_is_refused(world: World, operator: Visitor, headers: dict[str, str]) -> None:
    """Even with the cookie and the form's token."""
    webhook = world.a_webhook()
    token = operator.get("/endpoints").form_token
    sent = {name: value.replace("OWN", f"http://127.0.0.1:{operator.port}") for name, value in headers.items()}
    assert operator.post(f"/endpoints/{webhook.id}/pause", {"form_token": token}, headers=sent).status == 403
    assert not world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id)).paused


def test_a_form_without_its_token_is_refused(world: World, operator: Visitor) -> None:
    """And with another session's."""
    webhook = world.a_webhook()
    other = Visitor(operator.port)
    other.sign_in(world.token)
    for token in ("", "0" * 64, "é", other.get("/endpoints").form_token):
        answer = operator.post(f"/endpoints/{webhook.id}/pause", {"form_token": token})
        assert answer.status == 403
    own = operator.post(f"/endpoints/{webhook.id}/pause", {"form_token": operator.get("/endpoints").form_token})
    assert own.status == 303


def test_a_form_of_the_same_origin_is_taken(world: World, operator: Visitor) -> None:
    """By its origin alone, where a browser says no more."""
    webhook = world.a_webhook()
    headers = {"origin": f"http://127.0.0.1:{operator.port}"}
    token = operator.get("/endpoints").form_token
    assert operator.post(f"/endpoints/{webhook.id}/pause", {"form_token": token}, headers=headers).status == 303


def test_what_changes_something_is_no_get(world: World, operator: Visitor) -> None:
    """A link or a picture does nothing."""
    webhook = world.a_webhook()
    for button in ("pause", "resume", "enable", "disable", "test"):
        assert operator.get(f"/endpoints/{webhook.id}/{button}").status == 404


@pytest.mark.parametrize("body", [b"a" * 300_000, b"&".join([b"a=1"] * 2000)])
def test_a_form_that_is_too_large_is_refused(operator: Visitor, body: bytes) -> None:
    """In bytes or in fields."""
    kind = {"content-type": "application/x-www-form-urlencoded", **OWN}
    answer = operator.send("POST", "/deliveries/resend", body=body, headers=kind)
    assert answer.status in (400, 413)


def test_a_form_of_another_kind_is_refused(operator: Visitor) -> None:
    """JSON, say."""
    headers = {"content-type": "application/json", **OWN}
    assert operator.send("POST", "/deliveries/resend", body=b"{}", headers=headers).status == 400


def test_signing_out_ends_the_session(operator: Visitor) -> None:
    """A copy of its cookie opens nothing either."""
    copy = Visitor(operator.port, cookies=dict(operator.cookies))
    assert operator.press("/sign-out").location == "/sign-in?why=out"
    assert copy.get("/endpoints").location.startswith("/sign-in")


def test_a_revoked_token_opens_nothing(world: World, visitor: Visitor) -> None:
    """Within five seconds, as everywhere; the session is over then."""
    token, record = world.another_token()
    visitor.sign_in(token)
    assert visitor.get("/endpoints").status == 200
    world.revoke(record.id)
    world.let_pass(timedelta(seconds=6))
    until(lambda: visitor.get("/endpoints").location == "/sign-in?why=over", what="the session is over")
    assert not any(name.startswith("__Host-noteflow-hooks-") and "sign-in" not in name for name in visitor.cookies)


def test_a_session_ends_after_half_an_hour_without_use_and_after_twelve() -> None:
    """Used or not; a sealed session of the future or of another secret is none."""
    now = [1_000_000.0]
    sessions = Sessions(Sealer(SECRET), clock=lambda: now[0])
    session = sessions.begin("nfh_x", may_manage=True)
    cookie = sessions.sealed(session)
    now[0] += IDLE_S - 1
    assert sessions.opened(cookie) == session
    used = sessions.used(session)
    assert used is not None
    now[0] += 1
    assert sessions.opened(cookie) is None
    assert sessions.opened(sessions.sealed(used)) == used
    assert Sessions(Sealer("another secret"), clock=lambda: now[0]).opened(sessions.sealed(used)) is None
    for _ in range(30):
        used = sessions.used(used) or used
        now[0] += IDLE_S - 1
    assert sessions.opened(sessions.sealed(used)) is None


@pytest.mark.parametrize("cookie", ["", "x", "é", "A" * 64, "A" * 5000])
def test_a_cookie_that_is_none_of_ours_opens_nothing(cookie: str) -> None:
    """Whatever it holds."""
    assert Sessions(Sealer(SECRET)).opened(cookie) is None


def test_a_page_that_looks_by_itself_is_no_use_of_the_session(world: World) -> None:
    """Or a forgotten tab would keep it open for ever."""
    now = [1_000_000.0]
    sessions = Sessions(Sealer(SECRET), clock=lambda: now[0])
    with Dashboard(world.address, sessions=sessions) as running:
        visitor = Visitor(running.port)
        visitor.sign_in(world.token)
        now[0] += 120
        assert visitor.get("/endpoints", x_live="1").cookies == ()
        assert len(visitor.get("/endpoints").cookies) == 1
        now[0] += IDLE_S
        assert visitor.get("/endpoints", x_live="1").status == 401
        assert any("hooks-sign-in" not in name for name in visitor.cookies)
        assert "the page has ended" in visitor.get("/sign-in?why=over").text
        assert all("hooks-sign-in" in name for name in visitor.cookies), "the session's cookie goes"


def test_another_workspaces_things_are_not_found(world: World, visitor: Visitor) -> None:
    """By no page, no button and no search."""
    made = fill(world)
    visitor.sign_in(world.make_token()[0])
    delivery = _a_delivery(world)
    paths = [
        f"/endpoints/{made['well'].id}",
        f"/endpoints/{made['well'].id}/edit",
        f"/deliveries/{delivery.id}",
        f"/deliveries/{delivery.id}/json",
        f"/deliveries/{delivery.id}/curl",
        f"/events/{delivery.event_id}",
    ]
    assert [visitor.get(path).status for path in paths] == [404] * len(paths)
    assert "No endpoint yet." in visitor.get("/endpoints").text
    for sought in (made["well"].id, delivery.id, delivery.event_id, delivery.id[:8], "m-1"):
        assert "No match" in visitor.get(f"/find?q={sought}").text
    assert visitor.press(f"/endpoints/{made['well'].id}/pause").status == 404
    assert visitor.press(f"/deliveries/{delivery.id}/resend").status == 404


def test_a_read_token_is_refused_at_each_button(world: World, visitor: Visitor) -> None:
    """The pages show none, and the server refuses whoever presses one all the same."""
    made = fill(world)["broken"]
    delivery = _a_delivery(world)
    token, _ = world.another_token(scopes=frozenset({Scope.READ}))
    visitor.sign_in(token)
    for path in ("/endpoints", f"/endpoints/{made.id}", "/deliveries", f"/deliveries/{delivery.id}", "/replays"):
        page = visitor.get(path)
        assert page.status == 200
        assert page.text.count('method="post"') == 1, "only the one that signs out"
    endpoint = f"/endpoints/{made.id}"
    buttons = [f"{endpoint}/{each}" for each in ("pause", "resume", "enable", "disable", "test", "verify", "edit")]
    buttons += ["/endpoints/new", "/replays/new", f"/replays/{uuid4()}/cancel", f"/deliveries/{delivery.id}/resend"]
    refused = {path: visitor.press(path, {"name": "x"}).status for path in buttons}
    assert refused == dict.fromkeys(buttons, 403)
    assert visitor.press(f"{endpoint}/delete", {"name": made.name}).status == 403
    assert visitor.press(f"{endpoint}/rotate", {"overlap_seconds": "0"}).status == 403
    assert visitor.press("/deliveries/resend", {"delivery_id": delivery.id}).status == 403
    assert visitor.get("/audit").status == 403


def test_a_read_token_that_opens_a_form_by_its_address_is_told_so(world: World, visitor: Visitor) -> None:
    """In words and without a button of the form; the navigation leads to no page that is refused."""
    endpoint = f"/endpoints/{world.a_webhook().id}"
    visitor.sign_in(world.another_token(scopes=frozenset({Scope.READ}))[0])
    forms = [f"{endpoint}/edit", f"{endpoint}/rotate", f"{endpoint}/delete", "/endpoints/new", "/replays/new", "/audit"]
    for path in forms:
        page = visitor.get(path)
        assert (page.status, page.text.count("<button")) == (403, 2), "but for those that find, and sign out"
        assert "needs a token with the scope manage; yours may only look" in page.text
    pages = re.findall(r'<a href="(/[^"]*)" data-go', visitor.get("/overview").text)
    assert {path: visitor.get(path).status for path in pages} == dict.fromkeys(pages, 200)
    manager = Visitor(visitor.port)
    manager.sign_in(world.token)
    assert {path: manager.get(path).status for path in forms} == dict.fromkeys(forms, 200)
    offered = re.findall(r'<a href="(/[^"]*)" data-go', manager.get("/overview").text)
    assert [each for each in offered if each not in pages] == ["/audit"]


def test_the_link_of_up_signs_in_once(world: World, tmp_path: Path) -> None:
    """It is gone with its first use, and after a minute; a wrong code does not use it up."""
    file = tmp_path / "link.json"
    with Dashboard(world.address, link=file) as running:
        file.write_text(json.dumps({"code": "abc", "token": world.token, "until": time.time() + 60}))
        assert Visitor(running.port).get("/once/wrong").location == "/sign-in?why=link"
        first, second = Visitor(running.port), Visitor(running.port)
        assert first.get("/once/abc").location == "/overview"
        assert first.get("/endpoints").status == 200
        assert second.get("/once/abc").location == "/sign-in?why=link"
        file.write_text(json.dumps({"code": "old", "token": world.token, "until": time.time() - 1}))
        assert second.get("/once/old").location == "/sign-in?why=link"


def test_nothing_is_logged_of_what_is_asked_for(
    world: World, operator: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """No token, no id, no code of a link."""
    caplog.set_level("DEBUG")
    operator.get("/find?q=a-canary-of-a-search")
    operator.get("/once/a-canary-of-a-code")
    assert "a-canary" not in caplog.text
    assert world.token not in caplog.text


def _a_delivery(world: World) -> pb.Delivery:
    publish(world)
    work(world)
    return world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(page_size=1)).deliveries[0]
