"""Make the pictures of `docs/flower.md`: a real Chromium looks at a real Flower over a system that delivers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).parents[1]
# The system and its receiver are the tests'.
sys.path.insert(0, str(ROOT))

from tests.support.chromium import chromium  # noqa: E402 - after the path
from tests.support.receiver_connection import Answer  # noqa: E402 - as above
from tests.support.system_evidence import Flower  # noqa: E402 - as above
from tests.support.system_rig import SystemRig  # noqa: E402 - as above
from tests.support.waiting import until  # noqa: E402 - as above

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FOLDER: Final = ROOT / "docs" / "flower"
_WIDTH: Final = 1280
#: Of the table of tasks, whose columns are to be seen.
_WIDE: Final = 1720
#: As a deployment has them by default: what is seen is what an operator would see.
_PERIODS: Final = {"relay_every_s": 5, "sweep_every_s": 5, "retry_base_s": 1, "lease_slack_s": 10}
_EVENTS: Final = 8


def main() -> None:
    """Make them all anew."""
    _FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        SystemRig(Path(folder), **_PERIODS) as rig,
        Flower(rig, Path(folder) / "flower.log", read_only="true") as flower,
        chromium() as browser,
    ):
        flower.wait()
        flower.wait_for_events()
        delivery_id = _deliver(rig)
        until(lambda: "1 succeeded" in flower.page("/api/tasks?taskname=noteflow.hooks.deliver"), what="a retry shows")
        row = "#tasks-table tbody tr td:nth-child(3)"
        _take(browser, flower, "tasks", path="/tasks", ready=row, size=(_WIDE, 540))
        _take(browser, flower, "search", path="/tasks", ready=row, size=(_WIDE, 420), search=delivery_id)
        _take(browser, flower, "worker", path=f"/worker/{flower.worker}", ready="table", size=(_WIDTH, 510))
        _take(browser, flower, "broker", path="/broker", ready="table", size=(_WIDTH, 450))


def _deliver(rig: SystemRig) -> str:
    """Publish some events to an endpoint that is well and to one that fails now and then; return a delivery's id."""
    answers = [Answer(503 if number % 3 == 0 else 200) for number in range(3 * _EVENTS)]
    rig.receiver.script("/billing", *answers)
    webhooks = [rig.webhook("/crm"), rig.webhook("/billing")]
    for number in range(_EVENTS):
        rig.publish()
        rig.settled(webhooks[0], "succeeded", count=number + 1)
    made = rig.settled(webhooks[1], "succeeded", count=_EVENTS)
    return next(each.id for each in made if len(each.attempts) == 2)  # noqa: PLR2004 - sent, and retried once


def _take(
    browser: Browser, flower: Flower, name: str, *, path: str, ready: str, size: tuple[int, int], search: str = ""
) -> None:
    user, password = Flower.login
    with browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        http_credentials={"username": user, "password": password},
        timezone_id="UTC",
    ) as context:
        page = context.new_page()
        page.goto(flower.url + path)
        page.locator(ready).first.wait_for()
        if search:
            page.locator("input[type=search]").first.fill(search)
            page.wait_for_function("document.querySelectorAll('#tasks-table tbody tr').length < 4")
        page.screenshot(path=_FOLDER / f"{name}.png")
        print(f"docs/flower/{name}.png")


if __name__ == "__main__":
    main()
