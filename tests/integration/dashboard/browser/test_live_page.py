"""The page of what is live, in a real Chromium: what comes is shown, or offered, or counted."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from noteflow_hooks.dashboard.views import live
from tests.integration.dashboard.browser.browsing import sign_in, signed_in
from tests.integration.dashboard.sample import fill, publish, work
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.dashboard import Dashboard
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    import pytest
    from playwright.sync_api import Browser, Page


def _happen(world: World, times: int = 1) -> None:
    for _ in range(times):
        publish(world)
    work(world)


def test_what_happens_is_shown_and_a_pause_counts_it(world: World, dashboard: Dashboard, page: Page) -> None:
    """Newest first; while it is paused, or a row has the focus, what is new is offered and nothing moves."""
    page.goto(f"{dashboard.url}/live")
    page.get_by_text("Watching").wait_for()
    page.get_by_text("Nothing has happened yet.").wait_for()
    _happen(world)
    rows = page.locator("#feed tbody tr")
    rows.nth(2).wait_for()
    expect(page.get_by_text("Nothing has happened yet.")).to_be_hidden()
    page.keyboard.press("p")
    page.get_by_text("Paused").wait_for()
    count = rows.count()
    _happen(world)
    more = page.get_by_role("button", name=re.compile("^[0-9]+ new$"))
    more.wait_for()
    assert rows.count() == count
    page.get_by_role("button", name="Go on").click()
    expect(more).to_be_hidden()
    assert rows.count() > count
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.closest('tr').dataset.key")
    _happen(world)
    more.wait_for()
    assert page.evaluate("document.activeElement.closest('tr').dataset.key") == first
    more.click()
    expect(more).to_be_hidden()
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Nothing has happened yet.").wait_for()


def test_a_page_keeps_so_many_rows_and_counts_what_it_left_out(
    world: World, dashboard: Dashboard, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much happens while nobody looks; the list has all of it."""
    monkeypatch.setattr(live, "KEPT", 4)
    page.goto(f"{dashboard.url}/live")
    page.get_by_text("Watching").wait_for()
    page.get_by_role("button", name="Pause").click()
    _happen(world, 4)
    page.get_by_text(re.compile("[0-9]+ changes? w(as|ere) left out")).wait_for()
    assert page.get_by_role("link", name="The list has all of them").get_attribute("href") == "/deliveries"
    page.get_by_role("button", name="4 new").click()
    assert page.locator("#feed tbody tr").count() == 4


def test_a_page_that_is_hidden_reads_nothing_and_goes_on_where_it_was(
    world: World, dashboard: Dashboard, page: Page
) -> None:
    """What has happened meanwhile is shown once it is seen again."""
    page.goto(f"{dashboard.url}/live")
    page.get_by_text("Watching").wait_for()
    hide = "Object.defineProperty(document, 'visibilityState', { value: %r, configurable: true });"
    event = "document.dispatchEvent(new Event('visibilitychange'));"
    page.misdeeds.expected = ("ERR_ABORTED",)  # type: ignore[attr-defined]  # the stream that the page itself ends
    page.evaluate(hide % "hidden" + event)
    _happen(world)
    assert page.locator("#feed tbody tr").count() == 0
    page.evaluate(hide % "visible" + event)
    page.locator("#feed tbody tr").nth(2).wait_for()


def test_a_page_says_that_it_has_ended_once_somebody_signs_out(world: World, dashboard: Dashboard, page: Page) -> None:
    """In another tab; what was shown is gone."""
    page.goto(f"{dashboard.url}/live")
    page.get_by_text("Watching").wait_for()
    _happen(world)
    page.locator("#feed tbody tr").first.wait_for()
    page.misdeeds.expected = ("401",)  # type: ignore[attr-defined]  # of the stream that is asked for once more
    other = page.context.new_page()
    other.goto(f"{dashboard.url}/endpoints")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_text("You are signed out.").wait_for()
    _happen(world)
    page.get_by_text("You were signed out, and the page has ended").wait_for()
    expect(page.locator("#feed")).to_have_count(0)


def test_without_javascript_the_page_says_so(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """And names the list, which works."""
    with signed_in(browser, dashboard, world.token, java_script_enabled=False) as page:
        page.goto(f"{dashboard.url}/live")
        page.get_by_text("This page needs JavaScript.").wait_for()
        page.get_by_role("link", name="The list of deliveries").click()
        page.wait_for_url("**/deliveries")


def test_a_server_that_comes_back_is_watched_again(browser: Browser) -> None:
    """Meanwhile a line says since when nothing is known."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    with Dashboard(bind) as dashboard:
        with World(limits=UNLIMITED, bind=bind) as world:
            fill(world)
            context = browser.new_context()
            page = context.new_page()
            page.goto(dashboard.url)
            sign_in(page, world.token)
            page.get_by_role("link", name="Live", exact=True).click()
            page.get_by_text("Watching").wait_for()
            store, token = world.store, world.token
        page.get_by_text(re.compile("The server is away. What you see is from .*, [0-9]+ s ago.")).wait_for()
        with World(limits=UNLIMITED, bind=bind, store=store) as world:
            page.locator("#away").wait_for(state="hidden")
            # Each world makes a workspace of its own; the page watches the first one's.
            world.client.close()
            world.client = WireClient(world.address, token)
            _happen(world)
            page.locator("#feed tbody tr").first.wait_for()
        context.close()
