"""What every request passes first, and every answer gets: host, where a form comes from, the browser's orders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The names by which only this machine reaches itself.
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: A name or an address, and a port.
_HOST: Final = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_HIGHEST_PORT: Final = 65_535
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        *(f"{kind} 'self'" for kind in ("form-action",)),
        *(f"{kind} 'none'" for kind in ("base-uri", "frame-ancestors")),
    )
)
_ORDERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_READING: Final = frozenset({"GET", "HEAD"})


class Guard:
    """Refuses what comes under another name or from another site; orders the browser what it may do with answers."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        """``hosts`` are the names, in lower case and without ports, under which this is reached."""
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = self._app if refusal is None else refusal

        async def send_with_orders(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ORDERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await app(scope, receive, send_with_orders)

    def _refusal(self, method: str, headers: Headers) -> ASGIApp | None:
        host = headers.get("host", "").lower()
        found = _HOST.fullmatch(host)
        if found is None or found[1] not in self._hosts or int(found[2] or 0) > _HIGHEST_PORT:
            line = "This name is not one of the dashboard's: NOTEFLOW_HOOKS_DASHBOARD_HOSTS lists them.\n"
            return PlainTextResponse(line, 421)
        if method not in _READING and not _is_own(headers, host):
            return PlainTextResponse("This form was not sent from a page of the dashboard, so it is refused.\n", 403)
        return None


def _is_own(headers: Headers, host: str) -> bool:
    """Tell whether a page of ours sends this. Under `no-referrer` browsers send `null` for a form's origin."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":
        return site == "same-origin"
    parts = urlsplit(origin.lower())
    return parts.scheme in ("http", "https") and parts.netloc == host
