"""A real Chromium: which one, and what a page of it has done that it should not."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

#: What `scripts/browser` has brought.
BROUGHT: Final = Path(__file__).parents[2] / ".browser"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """Return a Chromium's path: CHROMIUM's, one of the PATH, what was brought. Skip, or with CI fail, for none."""
    named = [os.environ.get("CHROMIUM"), *map(shutil.which, _NAMES), shutil.which(BROUGHT / "chromium")]
    found = next((each for each in named if each), None)
    return found if found is not None else missing("no Chromium: set CHROMIUM, or run scripts/browser")


def axe() -> str:
    """Return axe-core's program. Skip, or with CI fail, where it was not brought."""
    path = BROUGHT / "axe.min.js"
    return path.read_text("utf-8") if path.exists() else missing("no axe-core: run scripts/browser")


def missing(reason: str) -> str:
    """Skip the test; in CI a test that can't be made is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Offer a running one. Without its sandbox, since root has none; it sees pages of this machine alone."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Misdeeds:
    """What a page did: errors on its console, dialogs, requests that leave its origin."""

    origin: str
    found: list[str] = field(default_factory=list)
    #: What is expected, by a part of its line.
    expected: tuple[str, ...] = ()

    def look_at(self, page: Page) -> None:
        """Note whatever the page does from now on."""
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        page.on("pageerror", lambda error: self._note(True, str(error)))  # noqa: FBT003 - it always counts
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self._note(not request.url.startswith(self.origin), request.url))

    def _dismiss(self, dialog: Any) -> None:  # noqa: ANN401 - playwright's own
        self._note(True, f"dialog: {dialog.message}")  # noqa: FBT003 - as above
        dialog.dismiss()

    def _note(self, is_one: bool, line: str) -> None:  # noqa: FBT001 - what a condition says
        if is_one and not any(each in line for each in self.expected):
            self.found.append(line)
