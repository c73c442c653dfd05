"""Who is signed in: all of it is in a sealed cookie, the API token too, so that each call is made with it.

Signing in always makes a new session, whatever cookie comes along. Signing out ends it here as well as in the browser.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.dashboard.sealing import Sealer

#: How long a session lasts, however much it is used.
LONGEST_S: Final = 12 * 3600
#: How long one lasts that nobody uses. A page that keeps itself up to date is no use.
IDLE_S: Final = 30 * 60
#: A cookie is written anew once its last use was so long ago.
_RENEW_S: Final = 60
_KIND: Final = "session"
_FORM: Final = "form"
#: So many sessions that were signed out are remembered, at most: each until it would have ended by itself.
_MOST_ENDED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in."""

    id: str
    token: str
    began_at: float
    used_at: float
    #: Whether the server lets the token change things.
    may_manage: bool

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return f"Session({self.id})"


class Sessions:
    """Begins, reads and ends sessions."""

    def __init__(self, sealer: Sealer, *, clock: Callable[[], float] = time.time) -> None:
        self._sealer = sealer
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: dict[str, float] = {}

    def begin(self, token: str, *, may_manage: bool) -> Session:
        """Return a new session of that token."""
        now = self._clock()
        return Session(secrets.token_urlsafe(18), token, now, now, may_manage)

    def sealed(self, session: Session) -> str:
        """Return the session as its cookie holds it."""
        return self._sealer.seal(_KIND, asdict(session))

    def opened(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None where it is none of ours, or over."""
        found = self._sealer.opened(_KIND, cookie) if cookie else None
        if found is None:
            return None
        session, now = Session(**found), self._clock()
        if now - session.began_at >= LONGEST_S or now - session.used_at >= IDLE_S:
            return None
        return None if session.id in self._ended else session

    def used(self, session: Session) -> Session | None:
        """Return the session as it is after this use; None where its cookie need not be written anew."""
        now = self._clock()
        return replace(session, used_at=now) if now - session.used_at >= _RENEW_S else None

    def seconds_left(self, session: Session) -> int:
        """Return for how long its cookie may be kept."""
        return max(0, math.ceil(session.began_at + LONGEST_S - self._clock()))

    def end(self, session: Session) -> None:
        """Let no cookie of the session open anything any more."""
        now = self._clock()
        with self._lock:
            over = [each for each, until in self._ended.items() if until <= now]
            # Beyond the limit the oldest is forgotten: its cookie is gone from the browser all the same.
            over += list(self._ended)[: max(0, len(self._ended) - len(over) - _MOST_ENDED + 1)]
            for each in over:
                self._ended.pop(each, None)
            self._ended[session.id] = session.began_at + LONGEST_S

    def form_token(self, of: str) -> str:
        """Return what a form must send along that a session, or a sign-in's cookie, is shown."""
        return self._sealer.mark(_FORM, of)

    def is_form_token(self, form_token: str, *, of: str) -> bool:
        """Tell whether a form was ours."""
        return self._sealer.is_mark(form_token, kind=_FORM, text=of)
