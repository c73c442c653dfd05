"""What people come to the dashboard for, each done by clicks from the overview of one real system."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.dashboard.browser.browsing import signed_in
from tests.support.chromium import chromium
from tests.support.dashboard import Dashboard
from tests.support.receiver_connection import Answer
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.support.system_rig import SystemRig


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def dashboard(system: SystemRig) -> Iterator[Dashboard]:
    with Dashboard(system.system.grpc) as running:
        yield running


@pytest.fixture
def tenant(rig: SystemRig) -> SystemRig:
    """The system, acted on for a new workspace."""
    return rig


@contextmanager
def _at_the_overview(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> Iterator[Page]:
    with signed_in(browser, dashboard, tenant.token) as page:
        page.goto(dashboard.url)
        page.get_by_role("heading", name="Overview").wait_for()
        yield page


def _go(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name, exact=True).click()


def _deliveries(tenant: SystemRig, status: str) -> list[pb.Delivery]:
    return list(tenant.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(status=status)).deliveries)


def _until(tenant: SystemRig, count: int, status: str) -> None:
    until(lambda: len(_deliveries(tenant, status)) == count, what=f"{count} are {status}")


def _set(tenant: SystemRig, made: pb.Webhook, name: str, **value: bool) -> None:
    request = pb.UpdateWebhookRequest(webhook_id=made.id, update_mask=FieldMask(paths=[name]))
    setattr(request, name, value[name])
    tenant.client.webhooks.UpdateWebhook(request)


def _a_dead_one(tenant: SystemRig, path: str) -> pb.Webhook:
    tenant.receiver.script(path, Answer(500, body=b"no database"), Answer(200))
    made = tenant.webhook(path, name="Billing", max_retries=1)
    tenant.publish()
    _until(tenant, 1, "dead")
    return made


def test_find_why_a_delivery_failed(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """From the overview's reasons to the delivery: what was answered, and what to do."""
    _a_dead_one(tenant, "/why")
    with _at_the_overview(browser, dashboard, tenant) as page:
        page.get_by_role("link", name=re.compile("Given up: an answer that is no success")).click()
        page.locator("tbody a.row").first.click()
        page.get_by_text("The receiver failed.").first.wait_for()
        page.get_by_text("What to do:").wait_for()
        page.get_by_text("The answer", exact=True).click()
        page.get_by_text("no database").first.wait_for()


def test_send_it_again_and_see_it_arrive(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """The page says so by itself, once it is there."""
    _a_dead_one(tenant, "/again")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Undelivered")
        page.locator("tbody a.row").first.click()
        page.get_by_role("button", name="Send again").click()
        page.locator("#state").get_by_text("Delivered").wait_for()


def test_pause_and_resume(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """What is published meanwhile waits, and arrives afterwards."""
    tenant.webhook("/pause", name="CRM")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Endpoints")
        page.get_by_role("button", name="Pause").click()
        page.get_by_text("The endpoint is paused").wait_for()
        tenant.publish()
        _until(tenant, 1, "pending")
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("The endpoint resumes").wait_for()
        _go(page, "Deliveries")
        page.locator("tbody").get_by_text("Delivered").wait_for()


def test_replay_yesterdays_dead_ones_of_an_endpoint(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """Counted first, and looked at until all are due; today's stay."""
    made = _a_dead_one(tenant, "/replay")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    move = "UPDATE noteflow.webhook_deliveries SET created_at = %s WHERE webhook_id = %s"
    tenant.database.execute(move, (yesterday, made.id))
    tenant.receiver.script("/replay", Answer(500), Answer(200))
    tenant.publish()
    _until(tenant, 2, "dead")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Endpoints")
        page.get_by_role("link", name="Billing").first.click()
        page.get_by_role("link", name="Replay", exact=True).click()
        page.get_by_role("link", name="Yesterday").click()
        page.get_by_role("button", name="Count first").click()
        page.get_by_text("1 delivery matches").wait_for()
        page.get_by_role("button", name="Send it again").click()
        page.get_by_text("1 of 1 made due").wait_for()
        page.locator("#state").get_by_text("Done").wait_for()
        _until(tenant, 1, "succeeded")
        assert len(_deliveries(tenant, "dead")) == 1


def test_rotate_a_secret(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """The new one is shown once."""
    made = tenant.webhook("/rotate", name="CRM")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Endpoints")
        page.get_by_role("link", name="CRM").first.click()
        page.get_by_role("link", name="Rotate").click()
        page.get_by_role("button", name=re.compile("^Rotate|^Make")).click()
        secret = page.locator("#secret").inner_text()
        page.get_by_role("link", name="To the endpoint").click()
        page.get_by_text(f"ends with {secret[-4:]}").wait_for()
    now = tenant.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=made.id))
    assert (now.secret_hint, now.secret_hint == made.secret_hint) == (secret[-4:], False)


def test_send_a_test(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """And see its outcome."""
    tenant.webhook("/test", name="CRM")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Endpoints")
        page.get_by_role("link", name="CRM").first.click()
        page.get_by_role("button", name="Send a test").click()
        page.get_by_text("A test event is sent.").wait_for()
        page.get_by_text("Delivered").first.wait_for()
        page.get_by_text("webhook.test").first.wait_for()


def test_find_a_meetings_events(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """By its name, in the box at the top."""
    tenant.webhook("/meeting", name="CRM")
    event_id = tenant.publish(meeting_id="budget-2026")
    tenant.publish(meeting_id="another")
    with _at_the_overview(browser, dashboard, tenant) as page:
        page.get_by_placeholder("Any id, or its beginning").fill("budget-2026")
        page.get_by_role("button", name="Find").click()
        page.get_by_role("heading", name="Events").wait_for()
        assert page.locator("tbody tr").count() == 1
        page.locator("tbody a.row").click()
        page.wait_for_url(f"**/events/{event_id}")


def test_see_what_was_skipped_and_why(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """An endpoint that was disabled with something waiting."""
    made = tenant.webhook("/skipped", name="CRM")
    _set(tenant, made, "paused", paused=True)
    tenant.publish()
    _until(tenant, 1, "pending")
    _set(tenant, made, "enabled", enabled=False)
    _until(tenant, 1, "skipped")
    with _at_the_overview(browser, dashboard, tenant) as page:
        page.get_by_role("link", name=re.compile("Skipped: the endpoint was disabled")).click()
        page.locator("tbody a.row").first.click()
        page.get_by_text("The endpoint was disabled.").first.wait_for()


def test_watch_live(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """What is published shows within seconds, and leads to the delivery."""
    tenant.webhook("/live", name="CRM")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Live")
        page.get_by_text("Watching").wait_for()
        tenant.publish()
        page.locator("#feed").get_by_text("Delivered").first.wait_for()
        page.locator("#feed a.row").first.click()
        page.locator("#state").get_by_text("Delivered").wait_for()


def test_see_who_disabled_an_endpoint(browser: Browser, dashboard: Dashboard, tenant: SystemRig) -> None:
    """From the endpoint's state to the audit trail's entry, which tells it in its row."""
    tenant.webhook("/who", name="CRM")
    with _at_the_overview(browser, dashboard, tenant) as page:
        _go(page, "Endpoints")
        page.get_by_role("link", name="CRM").first.click()
        page.get_by_role("button", name="Disable").click()
        page.get_by_text("The endpoint is disabled").wait_for()
        page.get_by_role("link", name="Who did that").click()
        entry = page.locator("tbody tr").first
        entry.get_by_text("token").first.wait_for()
        entry.get_by_text("true → false").wait_for()
        entry.get_by_text("Show").click()
        entry.get_by_text('"enabled": false').wait_for()
