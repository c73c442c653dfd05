"""The dashboard in a real Chromium: what runs there, what leaves it, and who gets in."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.browser.browsing import paths_of, sign_in, signed_in
from tests.integration.dashboard.canaries import CANARY, fill_with_canaries
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_somebody_signs_in_and_out(browser: Browser, dashboard: Dashboard, world: World, host: str) -> None:
    """By either of loopback's names, without TLS; the token is in no address and in no script's reach."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://{host}:{dashboard.port}/")
    sign_in(page, "nfh_wrong")
    page.get_by_text("The server does not know this token.").wait_for()
    sign_in(page, world.token)
    page.wait_for_url(f"http://{host}:{dashboard.port}/overview")
    [cookie] = context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Strict", "/")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    assert context.cookies(page.url)[0]["name"].startswith("__Host-noteflow-hooks-sign-in")
    page.goto(f"http://{host}:{dashboard.port}/deliveries")
    assert "/sign-in" in page.url
    context.close()


def test_no_text_of_others_runs_or_leaves(browser: Browser) -> None:
    """With a canary in every field, each page is looked at: no script, no request elsewhere, no error, no dialog."""
    with World(limits=UNLIMITED) as world, Dashboard(world.address) as dashboard:
        fill_with_canaries(world)
        with signed_in(browser, dashboard, world.token) as page:
            seen = 0
            for path in [*paths_of(world, found="/find?q=%3Cscript%3Ewindow.canary%3D6%3C/script%3E"), "/find?q=0"]:
                page.goto(dashboard.url + path)
                for details in page.locator("details").all():
                    details.evaluate("each => { each.open = true; }")
                assert page.evaluate("window.canary") is None, path
                assert page.locator("main script, main img[src*=elsewhere], main [onload], main [onerror]").count() == 0
                seen += "window.canary=1" in page.inner_text("main")
                # A page that keeps itself up to date makes elements of what it is sent.
                page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            assert seen >= 10, "the canaries are on the pages"
            page.goto(f"{dashboard.url}/endpoints/new")
            page.locator("[name=name]").fill(CANARY)
            page.misdeeds.expected = ("422",)  # type: ignore[attr-defined]  # the answer to what is refused
            page.locator("[name=url]").evaluate("(each, text) => { each.type = 'text'; each.value = text; }", CANARY)
            page.get_by_role("button", name="Add").click()
            page.get_by_text("Nothing is changed").wait_for()
            assert page.evaluate("window.canary") is None


def test_a_form_and_a_frame_of_another_site_do_nothing(dashboard: Dashboard, world: World, page: Page) -> None:
    """Although the browser knows the session: its form is refused, and its frame stays empty."""
    endpoint = world.a_webhook(url="https://a.example/csrf")
    action = f"{dashboard.url}/endpoints/{endpoint.id}/disable"
    form = f'<form method="post" action="{action}"><button>Win</button></form><iframe src="{dashboard.url}/endpoints">'
    with _a_site(form) as site:
        other = page.context.new_page()
        for host in ("127.0.0.1", "localhost"):
            other.goto(site.replace("127.0.0.1", host))
            [frame] = other.frames[1:]
            # The page is loaded before its frame has become Chromium's own page of a refusal.
            frame.wait_for_url("chrome-error:**", wait_until="commit")
            other.get_by_role("button").click()
            other.get_by_text("was not sent from a page of the dashboard").wait_for()
    assert world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=endpoint.id)).enabled
    world.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=endpoint.id))


@contextmanager
def _a_site(html: str) -> Iterator[str]:
    """Offer another origin with that page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_session_that_ends_leads_to_the_sign_in(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """Also from a page that only looks."""
    token, record = world.another_token()
    context = browser.new_context()
    page = context.new_page()
    page.goto(dashboard.url)
    sign_in(page, token)
    page.wait_for_url("**/overview")
    world.revoke(record.id)
    page.wait_for_url("**/sign-in?why=over")
    context.close()
