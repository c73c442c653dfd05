"""Make the pictures of `docs/dashboard.md`: a real Chromium looks at a dashboard over a workspace that is made up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[1]
# The made-up workspace is the tests'.
sys.path.insert(0, str(ROOT))

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb  # noqa: E402 - after the path
from tests.integration.dashboard.browser.browsing import NARROW, signed_in  # noqa: E402 - as above
from tests.integration.dashboard.sample import fill, work  # noqa: E402 - as above
from tests.integration.rpc.world import UNLIMITED, World  # noqa: E402 - as above
from tests.support.builders import a_failure  # noqa: E402 - as above
from tests.support.chromium import chromium  # noqa: E402 - as above
from tests.support.dashboard import Dashboard  # noqa: E402 - as above

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FOLDER: Final = ROOT / "docs" / "dashboard"
_SIZE: Final = {"width": 1100, "height": 620}


def main() -> None:
    """Make them all anew."""
    _FOLDER.mkdir(exist_ok=True)
    with World(limits=UNLIMITED) as world, Dashboard(world.address) as dashboard, chromium() as browser:
        made = fill(world)
        request = pb.ListDeliveriesRequest(status="dead", page_size=1)
        [dead] = world.client.webhooks.ListDeliveries(request).deliveries
        world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
        work(world, lambda _: a_failure(duration_ms=90))
        looks: dict[str, tuple[str, dict[str, Any]]] = {
            "endpoints": ("/endpoints", {"viewport": {**_SIZE, "height": 440}}),
            "delivery": (f"/deliveries/{dead.id}", {"viewport": {**_SIZE, "height": 900}}),
            "endpoint": (f"/endpoints/{made['broken'].id}", {"color_scheme": "dark"}),
            "narrow": (f"/deliveries/{dead.id}", {"viewport": NARROW}),
        }
        for name, (path, options) in looks.items():
            _take(browser, dashboard, world.token, name=name, path=path, options={"viewport": _SIZE, **options})


def _take(browser: Browser, dashboard: Dashboard, token: str, *, name: str, path: str, options: dict[str, Any]) -> None:
    with signed_in(browser, dashboard, token, locale="en-GB", timezone_id="UTC", **options) as page:
        page.goto(dashboard.url + path)
        page.screenshot(path=_FOLDER / f"{name}.png")
        print(f"docs/dashboard/{name}.png")


if __name__ == "__main__":
    main()
