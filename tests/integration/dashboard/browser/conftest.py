"""A Chromium, and a dashboard over a workspace in which a day has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.dashboard.browser.browsing import signed_in
from tests.integration.dashboard.sample import fill
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.chromium import chromium
from tests.support.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A workspace in which a day has passed."""
    with World(limits=UNLIMITED) as running:
        fill(running)
        yield running


@pytest.fixture(scope="module")
def dashboard(world: World) -> Iterator[Dashboard]:
    with Dashboard(world.address) as running:
        yield running


@pytest.fixture
def page(browser: Browser, dashboard: Dashboard, world: World) -> Iterator[Page]:
    with signed_in(browser, dashboard, world.token) as made:
        yield made
