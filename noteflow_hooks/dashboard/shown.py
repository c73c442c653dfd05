"""What was shown last, by session and address: what a page is made from is compared, before it is made into HTML."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.datastructures import URL

    from noteflow_hooks.dashboard.sessions import Session
    from noteflow_hooks.dashboard.visit import Page

#: So many pages are remembered: those that somebody looks at.
_MOST: Final = 100


class Shown:
    """Remembers pages, each with what stands for its content."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: OrderedDict[tuple[str, str], tuple[Page, str]] = OrderedDict()

    def keep(self, session: Session, url: URL, page: Page, tag: str) -> None:
        """Remember it, in the place of what was shown there before."""
        key = _key(session, url)
        with self._lock:
            self._pages[key] = page, tag
            self._pages.move_to_end(key)
            if len(self._pages) > _MOST:
                self._pages.popitem(last=False)

    def is_same(self, session: Session, url: URL, page: Page, tag: str) -> bool:
        """Tell whether that tag stands for the page; where it is not remembered, it is not."""
        with self._lock:
            before = self._pages.get(_key(session, url))
        return before is not None and before[1] == tag and before[0] == page


def _key(session: Session, url: URL) -> tuple[str, str]:
    return session.id, f"{url.path}?{url.query}"
