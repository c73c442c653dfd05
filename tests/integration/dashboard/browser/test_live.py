"""What pages do beyond links and forms: they keep themselves up to date, and heed keys."""

from __future__ import annotations

import json
import re
import socket
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.browser.browsing import sign_in, signed_in
from tests.integration.dashboard.sample import fill, publish, work
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.builders import an_attempt_result
from tests.support.dashboard import Dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_what_is_new_is_offered_and_nothing_jumps(world: World, dashboard: Dashboard, page: Page) -> None:
    """Rows keep their place, their selection and their focus until somebody asks for the new ones."""
    dead = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="dead")).deliveries[0]
    world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    page.goto(f"{dashboard.url}/deliveries")
    rows = page.locator("tbody tr")
    first, count = rows.first.get_attribute("id"), rows.count()
    page.locator(f"input[value='{dead.id}']").check()
    page.locator("h1").click()
    page.get_by_text("Send the selected again (1)").wait_for()
    publish(world)
    work(world)
    fresh = page.get_by_role("button", name=re.compile("^[0-9]+ new$"))
    fresh.wait_for()
    assert (rows.first.get_attribute("id"), rows.count()) == (first, count)
    page.locator(f"#r-{dead.id}").get_by_text("Given up").wait_for()
    assert page.locator(f"input[value='{dead.id}']").is_checked()
    fresh.click()
    page.locator(f"tbody tr:first-child:not([id={first}])").wait_for()
    assert page.locator("input[name=delivery_id]:checked").count() == 1
    assert page.evaluate("document.activeElement.className") == "id row"


def test_a_page_keeps_itself_up_to_date(world: World, dashboard: Dashboard, page: Page) -> None:
    """The state and the life of a delivery that is sent again and arrives, without a reload."""
    dead = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="dead")).deliveries[0]
    page.goto(f"{dashboard.url}/deliveries/{dead.id}")
    page.get_by_role("button", name="Send again").click()
    page.locator("#state").get_by_text("Waits").wait_for()
    page.evaluate("window.stayed = true")
    work(world, lambda _: an_attempt_result())
    page.locator("#state").get_by_text("Delivered").wait_for()
    page.locator("#life").get_by_text("answered 200").wait_for()
    assert page.evaluate("window.stayed")


def test_what_is_selected_stays(world: World, dashboard: Dashboard, page: Page) -> None:
    """Text that somebody is about to copy is not taken from under them, while the rest of the page goes on."""
    dead = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="dead")).deliveries[0]
    page.goto(f"{dashboard.url}/deliveries/{dead.id}")
    steps = page.locator("#life > li").count()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#life li'))")
    selected = page.evaluate("getSelection().toString()")
    world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    page.locator("#state").get_by_text("Waits").wait_for()
    assert page.locator("#life > li").count() == steps
    assert page.evaluate("getSelection().toString()") == selected != ""
    page.evaluate("getSelection().removeAllRanges()")
    work(world)
    page.locator("#life > li").nth(steps).wait_for()


def test_a_day_is_the_readers_own(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """A replay of yesterday's is one click; what is typed beside it stays."""
    with signed_in(browser, dashboard, world.token, timezone_id="Asia/Kolkata") as page:
        page.goto(f"{dashboard.url}/replays/new")
        page.get_by_label("How many a second").fill("5")
        page.get_by_role("link", name="Yesterday").click()
        yesterday = f"{datetime.now(ZoneInfo('Asia/Kolkata')) - timedelta(days=1):%Y-%m-%d}T00:00"
        assert page.get_by_label("Made from").input_value() == yesterday
        assert page.get_by_label("How many a second").input_value() == "5"
        page.get_by_role("button", name="Count first").click()
        page.get_by_text("No delivery matches").wait_for()


def test_times_are_the_readers_own_with_utc_on_hover(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """In the zone and the language of the browser."""
    with signed_in(browser, dashboard, world.token, timezone_id="Asia/Kolkata", locale="de-DE") as page:
        page.goto(f"{dashboard.url}/audit")
        time = page.locator("tbody time").first
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", time.get_attribute("title") or "")
        moment = datetime.fromisoformat(time.get_attribute("datetime") or "").astimezone(ZoneInfo("Asia/Kolkata"))
        assert moment.strftime("%H:%M:%S") in time.inner_text()
        assert "ago" in page.locator("tbody .ago").first.inner_text()


def test_times_that_are_typed_are_the_readers_own_too(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """The address has UTC; without JavaScript the field says that it has."""
    with signed_in(browser, dashboard, world.token, timezone_id="Asia/Kolkata") as page:
        page.goto(f"{dashboard.url}/events")
        page.get_by_label("Stored from (your time)").fill("2026-01-31T12:00:30")
        page.get_by_role("button", name="Filter", exact=True).click()
        page.wait_for_url("**created_after=2026-01-31T06%3A30%3A30**")
        assert page.get_by_label("Stored from").input_value() == "2026-01-31T12:00:30"
    with signed_in(browser, dashboard, world.token, timezone_id="Asia/Kolkata", java_script_enabled=False) as page:
        page.goto(f"{dashboard.url}/events?created_after=2026-01-31T12:00%2B05:30")
        assert page.get_by_label("Stored from (UTC)").input_value() == "2026-01-31T06:30"


def test_keys_go_everywhere(page: Page) -> None:
    """To the box, through rows, into one, to pages, and to the list of keys; in a field they are letters."""
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/deliveries")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    here = page.evaluate("document.activeElement.closest('tr').id")
    assert here == page.locator("tbody tr").first.get_attribute("id")
    page.keyboard.press("x")
    assert page.locator("input[name=delivery_id]:checked").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deliveries/*-*")
    page.keyboard.press("/")
    page.keyboard.type("gd?")
    assert page.locator("#find").input_value() == "gd?"
    page.locator("h1").click()
    page.keyboard.press("?")
    page.wait_for_url("**/keys")
    page.get_by_label("Keys do nothing").check()
    page.locator("h1").click()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.get_by_label("Keys do nothing").uncheck()
    assert page.url.endswith("/keys")


def test_r_sends_again(world: World, dashboard: Dashboard, page: Page) -> None:
    """The delivery that is shown, and those that are selected."""
    publish(world)
    work(world)
    dead = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status="succeeded")).deliveries
    page.goto(f"{dashboard.url}/deliveries/{dead[0].id}")
    page.keyboard.press("r")
    page.get_by_text("It is sent again.").wait_for()
    page.goto(f"{dashboard.url}/deliveries?status=succeeded")
    page.keyboard.press("r")
    page.locator("input[name=delivery_id]").first.check()
    page.keyboard.press("r")
    page.get_by_text("1 of 1 is sent again").wait_for()


def test_what_is_copied_is_what_is_shown(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """A payload, and a delivery as JSON or as a script with curl, go to the clipboard with one press."""
    with signed_in(browser, dashboard, world.token, permissions=["clipboard-read", "clipboard-write"]) as page:
        event = world.client.events.ListEvents(pb.ListEventsRequest()).events[0]
        page.goto(f"{dashboard.url}/events/{event.id}")
        page.get_by_role("button", name="Copy").first.click()
        page.get_by_role("button", name="Copied").wait_for()
        assert json.loads(page.evaluate("navigator.clipboard.readText()")) == json.loads(event.payload)
        delivery = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest()).deliveries[0]
        page.goto(f"{dashboard.url}/deliveries/{delivery.id}")
        for name, part in (("JSON", f'"id": "{delivery.id}"'), ("curl", 'curl --request POST "$URL"')):
            page.get_by_role("link", name=f"Copy as {name}").click()
            page.get_by_role("link", name="Copied").wait_for()
            assert part in page.evaluate("navigator.clipboard.readText()")
            page.get_by_role("link", name=f"Copy as {name}").wait_for()


def test_a_server_that_is_away_is_told_of_with_the_age_of_what_is_shown(browser: Browser) -> None:
    """What was shown stays, and when the server is back the line goes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    with Dashboard(bind) as dashboard:
        with World(limits=UNLIMITED, bind=bind) as world:
            fill(world)
            context = browser.new_context()
            page = context.new_page()
            page.goto(dashboard.url)
            sign_in(page, world.token)
            store = world.store
            token = world.token
            page.get_by_role("link", name="Deliveries", exact=True).click()
            page.wait_for_url("**/deliveries")
        page.get_by_text(re.compile("The server is away. What you see is from .*, [0-9]+ s ago.")).wait_for()
        assert page.locator("tbody tr").count() > 1
        with World(limits=UNLIMITED, bind=bind, store=store) as world:
            page.locator("#away").wait_for(state="hidden")
            assert token
        context.close()
