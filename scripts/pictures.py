"""Make the pictures of `docs/dashboard.md`: a real Chromium looks at a dashboard over a workspace that is made up."""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[1]
# The made-up workspace is the tests'.
sys.path.insert(0, str(ROOT))

from noteflow_hooks.domain.attempts import ErrorKind  # noqa: E402 - after the path
from noteflow_hooks.persistence.memory import MemoryStore  # noqa: E402 - as above
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb  # noqa: E402 - as above
from tests.integration.dashboard.browser.browsing import NARROW, signed_in  # noqa: E402 - as above
from tests.integration.dashboard.sample import count, fill, publish, work  # noqa: E402 - as above
from tests.integration.rpc.world import UNLIMITED, World  # noqa: E402 - as above
from tests.support.builders import a_failure, an_attempt_result  # noqa: E402 - as above
from tests.support.chromium import chromium  # noqa: E402 - as above
from tests.support.dashboard import Dashboard  # noqa: E402 - as above

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim

_FOLDER: Final = ROOT / "docs" / "dashboard"
#: How many meetings end in each of the last day's half hours.
_DAY: Final = (
    1,
    0,
    0,
    1,
    0,
    0,
    0,
    1,
    0,
    0,
    1,
    2,
    3,
    5,
    6,
    8,
    9,
    7,
    8,
    10,
    9,
    8,
    6,
    5,
    7,
    9,
    10,
    8,
    7,
    6,
    8,
    9,
    7,
    6,
    5,
    4,
    5,
    3,
    4,
    2,
    3,
    2,
    2,
    1,
    2,
    1,
    1,
    1,
)
_SIZE: Final = {"width": 1100, "height": 620}


class _Day:
    """A store whose clock begins a day ago, and comes to the present as the day passes."""

    def __init__(self) -> None:
        # What comes before the day is not in its pictures.
        self._behind = timedelta(hours=26)
        self._draw = random.Random(7)  # noqa: S311 - for pictures that are the same each time
        self.store = MemoryStore(now=lambda: datetime.now(UTC) - self._behind)

    def passes(self, world: World) -> None:
        """Let meetings end, and most of their deliveries arrive."""
        for number, meetings in enumerate(_DAY):
            self._behind = timedelta(minutes=30) * (len(_DAY) - number)
            for _ in range(meetings):
                publish(world, title="Weekly", meeting_id=f"m-{number}")
            work(world, self._answer)
        self._behind = timedelta(0)

    def _answer(self, claim: Claim) -> AttemptResult:
        took = int(self._draw.lognormvariate(4.2, 0.6))
        if self._draw.random() > (0.7 if "billing" in claim.webhook.url else 0.02):
            return an_attempt_result(status_code=200, duration_ms=took)
        kind = ErrorKind.TIMEOUT if self._draw.random() < 0.3 else ErrorKind.STATUS  # noqa: PLR2004 - a third of them
        code = None if kind is ErrorKind.TIMEOUT else 503
        return an_attempt_result(status_code=code, error_kind=kind, error_message="HTTP 503", duration_ms=3 * took)


def main() -> None:
    """Make them all anew."""
    _FOLDER.mkdir(exist_ok=True)
    day = _Day()
    with (
        World(limits=UNLIMITED, store=day.store) as world,
        Dashboard(world.address) as dashboard,
        chromium() as browser,
    ):
        made = fill(world)
        day.passes(world)
        # One of the present: what is sent in the day that passes has the present's times.
        publish(world, title="Budget", meeting_id="budget-2026")
        work(world)
        request = pb.ListDeliveriesRequest(status="dead", page_size=1, webhook_id=made["broken"].id)
        [dead] = world.client.webhooks.ListDeliveries(request).deliveries
        world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
        work(world, lambda _: a_failure(duration_ms=90))
        looks: dict[str, tuple[str, dict[str, Any]]] = {
            "overview": ("/overview", {"viewport": {**_SIZE, "height": 860}}),
            "endpoints": ("/endpoints", {"viewport": {**_SIZE, "height": 640}}),
            "delivery": (f"/deliveries/{dead.id}", {"viewport": {**_SIZE, "height": 900}}),
            "deliveries": ("/deliveries?status=dead&status=skipped", {}),
            "endpoint": (
                f"/endpoints/{made['broken'].id}",
                {"color_scheme": "dark", "viewport": {**_SIZE, "height": 860}},
            ),
            "narrow": ("/overview", {"viewport": NARROW}),
        }
        for name, (path, options) in looks.items():
            count(world)
            _take(browser, dashboard, world.token, name=name, path=path, options={"viewport": _SIZE, **options})


def _take(browser: Browser, dashboard: Dashboard, token: str, *, name: str, path: str, options: dict[str, Any]) -> None:
    with signed_in(browser, dashboard, token, locale="en-GB", timezone_id="UTC", **options) as page:
        page.goto(dashboard.url + path)
        page.screenshot(path=_FOLDER / f"{name}.png")
        print(f"docs/dashboard/{name}.png")


if __name__ == "__main__":
    main()
