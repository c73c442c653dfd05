"""Pages of somebody who has signed in, and where each page of the dashboard is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.chromium import Misdeeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.integration.rpc.world import World
    from tests.support.dashboard import Dashboard

#: Wide, and as narrow as WCAG 1.4.10 asks.
WIDE: Final = {"width": 1280, "height": 800}
NARROW: Final = {"width": 320, "height": 640}


@contextmanager
def signed_in(browser: Browser, dashboard: Dashboard, token: str, **options: Any) -> Iterator[Page]:  # noqa: ANN401 - the context's own
    """Offer a page of somebody who has signed in; at the end it has done nothing that it should not."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    session = dashboard.sessions.sealed(dashboard.sessions.begin(token, may_manage=True))
    name = f"__Host-noteflow-hooks-{dashboard.port}"
    kept: Any = {"name": name, "value": session, "url": f"https://127.0.0.1:{dashboard.port}/", "secure": True}
    context.add_cookies([kept])
    try:
        page = context.new_page()
        misdeeds = Misdeeds(dashboard.url)
        misdeeds.look_at(page)
        page.misdeeds = misdeeds  # type: ignore[attr-defined]  # for the test that expects some
        page.goto(f"{dashboard.url}/endpoints")
        yield page
        assert misdeeds.found == []
    finally:
        context.close()


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def paths_of(world: World, *, found: str = "/find?q=0") -> list[str]:
    """Return the address of each page, of something that is there."""
    client = world.client
    endpoint = client.webhooks.ListWebhooks(pb.ListWebhooksRequest()).webhooks[-1].id
    deliveries = client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(webhook_id=endpoint)).deliveries
    event = client.events.ListEvents(pb.ListEventsRequest()).events[-1].id
    types = client.events.ListEventTypes(pb.ListEventTypesRequest()).event_types
    replays = client.webhooks.ListReplays(pb.ListReplaysRequest()).replays
    at = f"/endpoints/{endpoint}"
    return [
        *("/overview", "/overview?span=1h", "/overview?span=30d", f"{at}?span=7d"),
        *("/endpoints", "/endpoints/new", at, f"{at}/edit", f"{at}/rotate", f"{at}/delete"),
        *(f"{at}/filter", f"{at}/filter?filter=data.x+%3D%3D+1&last_n=5", "/endpoints?state=slow&text=x", "/live"),
        *(
            "/deliveries",
            "/deliveries?id_prefix=abc",
            f"/deliveries?status=dead&status=skipped&error_kind=status&event_id={event}",
            f"/deliveries/{deliveries[0].id}",
            "/undelivered",
        ),
        *("/events", f"/events/{event}", "/replays", f"/replays/new?webhook_id={endpoint}&status=dead"),
        *(f"/replays/{each.id}" for each in replays[:1]),
        *("/event-types", f"/event-types/{types[-1].name}", "/audit", "/keys", found),
    ]
