"""The way to the gRPC server: one client for each token. gRPC lets all of them share their connection.

Calls block in threads of the web server. Three lists for a page take 1.3 ms of processor time so, and 1.1 ms by
`grpc.aio`; for these 0.2 ms the pages would have another client than programs have, and render in the loop's thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.client import Client

#: So many tokens' clients are kept; the one that was used longest ago goes when there are more.
_MOST: Final = 64


class Gateway:
    """Clients by token."""

    def __init__(self, connect: Callable[[str], Client]) -> None:
        """``connect`` makes a client of a token."""
        self._connect = connect
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, Client] = OrderedDict()

    def client(self, token: str) -> Client:
        """Return the token's client; raise what ``connect`` does for a text that is no token."""
        with self._lock:
            client = self._clients.pop(token, None) or self._connect(token)
            self._clients[token] = client
            while len(self._clients) > _MOST:
                # Not closed, since somebody may be calling with it: it ends with its last call.
                self._clients.popitem(last=False)
            return client

    def close(self) -> None:
        """Cancel what is under way, and close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
