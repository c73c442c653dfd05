"""What lets somebody in: a token that the server knows, so many tries a minute, or the link of `up`, once."""

from __future__ import annotations

import hmac
import json
import threading
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from noteflow_hooks.client import Client

#: So many tries to sign in one address has in a minute.
TRIES: Final = 10
_MINUTE_S: Final = 60.0
#: So many addresses are remembered; when there are more, those of the last minute share one count.
_MOST_ADDRESSES: Final = 10_000


class Tries:
    """Counts the tries to sign in of each address, over the last minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: dict[str, list[float]] = {}

    def wait_s(self, address: str) -> float:
        """Count one try and return 0, or return how long to wait where there were too many."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            key = address if address in self._tries or len(self._tries) < _MOST_ADDRESSES else ""
            tries = self._tries.setdefault(key, [])
            if len(tries) >= TRIES:
                return tries[0] + _MINUTE_S - now
            tries.append(now)
            return 0.0

    def _forget(self, now: float) -> None:
        for address in list(self._tries):
            kept = [each for each in self._tries[address] if each + _MINUTE_S > now]
            if kept:
                self._tries[address] = kept
            else:
                del self._tries[address]


def may_manage(client: Client) -> bool:
    """Tell whether the token may change things; raise where the server does not know it, or it may not read."""
    client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=1))
    return "manage" in client.webhooks.WhoAmI(pb.WhoAmIRequest()).scopes


class OneTimeLink:
    """A link that signs in once. It stands in a file, so that it works once although the dashboard starts again."""

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        """``path`` holds ``code``, ``token`` and ``until``, for its owner alone; None for no such link."""
        self._path = path
        self._clock = clock

    def token(self, code: str) -> str | None:
        """Return the token that the code stands for, and let it stand for nothing from now on."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            if not hmac.compare_digest(code.encode(), str(kept["code"]).encode()):
                return None
            # Whoever removes the file has the link: of several at once, one.
            self._path.unlink()
        except (OSError, ValueError):
            return None
        return str(kept["token"]) if self._clock() < float(kept["until"]) else None
