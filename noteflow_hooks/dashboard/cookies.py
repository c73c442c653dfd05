"""The two cookies, by names that browsers keep apart: of the session, and of the form with which one begins.

A cookie goes to every port of a host, so the port is part of its name: two dashboards on one machine stay apart.
`Secure` holds on loopback without TLS too: Chromium and Firefox count loopback as secure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from noteflow_hooks.dashboard.sessions import Session, Sessions

_SESSION: Final = "__Host-noteflow-hooks"
_BEGINNING: Final = "__Host-noteflow-hooks-sign-in"


@dataclass(frozen=True, slots=True)
class Cookies:
    """What a request's cookies hold, and under which names."""

    suffix: str
    #: The sealed session; None where there is none.
    session: str | None
    #: What the sign-in's form belongs to; None where its page was not seen.
    beginning: str | None

    @classmethod
    def of(cls, request: Request) -> Cookies:
        """Read them."""
        port = request.url.port
        suffix = f"-{port}" if port is not None else ""
        found = request.cookies
        return cls(suffix, found.get(_SESSION + suffix), found.get(_BEGINNING + suffix))

    def keep_session(self, response: Response, sessions: Sessions, session: Session) -> None:
        """Have the browser keep the session until it ends."""
        _set(response, _SESSION + self.suffix, sessions.sealed(session), seconds=sessions.seconds_left(session))

    def drop_session(self, response: Response) -> None:
        """Have the browser forget the session."""
        if self.session is not None:
            _set(response, _SESSION + self.suffix, "", seconds=0)

    def keep_beginning(self, response: Response, text: str) -> None:
        """Have the browser keep what the sign-in's form belongs to."""
        _set(response, _BEGINNING + self.suffix, text, seconds=3600)

    def drop_beginning(self, response: Response) -> None:
        """Have the browser forget that."""
        if self.beginning is not None:
            _set(response, _BEGINNING + self.suffix, "", seconds=0)


def _set(response: Response, name: str, value: str, *, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")
