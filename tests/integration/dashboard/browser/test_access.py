"""Everybody can use the dashboard: without JavaScript, by keyboard, with a screen reader, on a small screen."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from tests.integration.dashboard.browser.browsing import NARROW, paths_of, signed_in
from tests.integration.dashboard.sample import publish, work
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.chromium import axe
from tests.support.dashboard import Dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: By how many pixels charts' numbers stand away from the lines that they are of, where it is more than their height.
_ASKEW: Final = """
    [...document.querySelectorAll(".plot")].map((plot) => {
        const [lines, scale] = [".chart", ".scale"].map((each) => plot.querySelector(each).getBoundingClientRect());
        return Math.max(Math.abs(scale.top - lines.top), Math.abs(scale.bottom - lines.bottom));
    }).filter((far) => far > 10)
"""
#: How high the highest row of a list is.
_TALLEST: Final = """
    Math.max(0, ...[...document.querySelectorAll("table.rows tbody tr")].map((row) => row.offsetHeight))
"""


def test_everything_works_without_javascript(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """Pages and buttons, by clicks alone, from the list to a delivery that is sent again."""
    with signed_in(browser, dashboard, world.token, java_script_enabled=False) as page:
        for path in paths_of(world):
            answer = page.goto(dashboard.url + path)
            assert answer is not None
            assert (answer.status, page.locator("h1").count()) == (200, 1), path
        page.get_by_role("link", name="Endpoints", exact=True).first.click()
        page.get_by_role("link", name="Billing").click()
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("The endpoint is paused").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Attempts").fill("2")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("2 at the most").first.wait_for()
        page.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).first.click()
        page.get_by_text("What to do:").wait_for()
        page.get_by_text("UTC").first.wait_for(state="attached")
        page.get_by_role("button", name="Send again").click()
        page.get_by_text("It is sent again.").wait_for()


def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    browser: Browser, dashboard: Dashboard, world: World
) -> None:
    """On every page: in light and in dark colours; on a telephone with everything open, a tablet and a laptop."""
    program = axe()
    with signed_in(browser, dashboard, world.token) as page:
        for path in [*paths_of(world), "/nowhere"]:
            page.misdeeds.expected = ("404",)  # type: ignore[attr-defined]  # of the last one
            page.goto(dashboard.url + path)
            _check_with_axe(page, program)
            _check_widths(page)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_text("You are signed out.").wait_for()
        _check_with_axe(page, program)


def _check_widths(page: Page) -> None:
    former = page.viewport_size
    assert former is not None
    # A tablet, and just above the width from which tables are tables.
    for width in (800, 1089):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, page.url)
        assert page.evaluate(_ASKEW) == [], (width, page.url)
    page.set_viewport_size({"width": NARROW["width"], "height": NARROW["height"]})
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], page.url
    page.set_viewport_size(former)


def _check_with_axe(page: Page, program: str) -> None:
    page.evaluate(program)
    _check(page, "axe.run(document, { resultTypes: ['violations'] })")
    page.emulate_media(color_scheme="dark")
    _check(page, "axe.run(document, { runOnly: { type: 'rule', values: ['color-contrast'] } })")
    page.emulate_media(color_scheme="light")


def _check(page: Page, run: str) -> None:
    found = page.evaluate(run)
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    told = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious]
    assert told == [], f"{page.url}: {json.dumps(told, indent=1)}"


def test_long_texts_break_and_leave_the_others_their_room(browser: Browser) -> None:
    """Names and addresses without a blank in them: nothing scrolls sideways, and no row is a page of single letters."""
    with World(limits=UNLIMITED) as world, Dashboard(world.address) as dashboard:
        world.a_webhook(name="N" * 255, url=f"https://{'a' * 60}.example/{'well' * 400}")
        publish(world, title="T" * 500, meeting_id="m" * 255)
        work(world)
        with signed_in(browser, dashboard, world.token, viewport=NARROW) as page:
            for path in [path for path in paths_of(world) if not path.startswith("/replays/new")]:
                page.goto(dashboard.url + path)
                assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
                # As wide as tables begin to be, and as the pages' names begin to stand beside them.
                for width in (1089, 1249):
                    page.set_viewport_size({"width": width, "height": 800})
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
                    assert page.evaluate(_TALLEST) <= 200, (width, path)
                page.set_viewport_size({"width": NARROW["width"], "height": NARROW["height"]})


def test_all_can_be_reached_by_keyboard_alone(dashboard: Dashboard, page: Page) -> None:
    """From the first Tab, which skips to the content, to a button that is pressed."""
    page.goto(f"{dashboard.url}/endpoints")
    page.keyboard.press("Tab")
    page.get_by_text("Skip to the content").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Add an endpoint"
    for _ in range(3):
        page.keyboard.press("Tab")
    pressed = page.evaluate("document.activeElement.tagName")
    assert pressed in ("BUTTON", "A")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_less_motion_is_heeded(browser: Browser, dashboard: Dashboard, world: World) -> None:
    """Nothing moves for who has asked for that."""
    with signed_in(browser, dashboard, world.token, reduced_motion="reduce") as page:
        page.evaluate("document.querySelector('tbody tr').classList.add('new')")
        assert page.evaluate("getComputedStyle(document.querySelector('tbody tr')).animationName") == "none"
