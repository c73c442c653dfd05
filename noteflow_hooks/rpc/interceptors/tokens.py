"""Tokens are looked up in the store, and the good ones remembered for seconds: not every call asks the database.

Those in use are looked up again before that time is over, together, so that no call of theirs waits for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.access import USE_NOTED_EVERY, ApiToken, hash_token
from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks

log = logging.getLogger(__name__)

#: How long a token counts after it was looked up: one that was revoked is refused within this time. The tokens of open
#: streams are looked up every ``check_tokens_every``. Both together are less than the 5 s within which all that a
#: revoked token began is ended.
TOKEN_TTL_S: Final = 3.0
#: A token is kept fresh for so long after its last use; who calls less often waits for a look-up, as at first.
_IN_USE_S: Final = 15.0
#: Those are looked up together that would count for no longer than this: it is more than there is between two rounds.
_SOON_S: Final = 2.0
#: A token's record is read anew after so long, however often it is used.
_RECORD_TTL_S: Final = 60.0
#: The answer to a call without a good token, whatever is wrong with it: more would only help those who guess.
REFUSAL: Final = "a valid token is needed, as metadata: authorization: Bearer <token>"
#: From so many remembered tokens on, those that are out of date are dropped at each look-up.
_CACHED: Final = 10_000


@dataclass(slots=True)
class _CachedToken:
    """A token that was found."""

    token: ApiToken
    #: Until when it counts without another look-up, by the cache's clock.
    until: float
    #: From when on its use is worth recording again.
    note_from: float
    #: When it was last used, and when its record was read.
    used: float
    read: float

    def is_due(self, now: float) -> bool:
        """Tell whether it is in use and soon to be looked up again."""
        soon = now < self.until <= now + _SOON_S
        return soon and now - self.used <= _IN_USE_S and now - self.read <= _RECORD_TTL_S

    def good_at(self, now: float) -> bool:
        """Tell whether it still counts.

        The server's own clock may be wrong, so a token that is past its end by it is only looked up again: then the
        database's clock decides.
        """
        return self.until > now and self.token.live_at(datetime.now(UTC))


class TokenCache:
    """Looks tokens up in the store, and remembers the good ones for :data:`TOKEN_TTL_S` seconds."""

    def __init__(self, database: Database, tasks: OwnedTasks, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``tasks`` record that tokens are used, which no call waits for."""
        self._database = database
        self._tasks = tasks
        self._clock = clock
        self._cached: dict[bytes, _CachedToken] = {}

    def remembered(self, token: str) -> ApiToken | None:
        """Return the record of a token that was looked up a moment ago, None for any other: then :meth:`find` it."""
        return self._counting(hash_token(token), self._clock())

    async def find(self, token: str) -> ApiToken | None:
        """Return the token's record, or None; raise UnavailableError where the store doesn't answer."""
        digest, now = hash_token(token), self._clock()
        if (known := self._counting(digest, now)) is not None:
            return known
        found = await self._database.run(lambda unit: unit.access.find_token(digest))
        self._drop_outdated(now)
        if found is None:
            self._cached.pop(digest, None)
            return None
        self._keep(digest, found, now)
        return found

    async def refresh(self) -> None:
        """Look up together the tokens in use whose time is nearly over; those that are still good count on.

        One that is not is forgotten at once. Where the store does not answer, each is left to its next call.
        """
        now = self._clock()
        due = {each.token.id: each for each in self._cached.values() if each.is_due(now)}
        if not due:
            return
        live = await self._database.run(lambda unit: unit.access.live_tokens(due.keys()))
        for token_id, each in due.items():
            each.until = now + TOKEN_TTL_S if token_id in live else now
            if token_id in live and each.used >= each.note_from:
                self._note(each, now)

    def _counting(self, digest: bytes, now: float) -> ApiToken | None:
        """Return the record of a token that is remembered and still counts, which is used by that."""
        cached = self._cached.get(digest)
        if cached is None or not cached.good_at(now):
            return None
        cached.used = now
        return cached.token

    def _keep(self, digest: bytes, found: ApiToken, now: float) -> None:
        """Remember a token that was looked up; ``now`` is the moment before the look-up.

        Its time is counted from there, so a token that is revoked during the look-up is kept no longer than others.
        """
        # Another call may have found it meanwhile, and recorded its use.
        before = self._cached.get(digest)
        note_from = now if before is None else before.note_from
        kept = _CachedToken(found, until=now + TOKEN_TTL_S, note_from=note_from, used=now, read=now)
        self._cached[digest] = kept
        if kept.note_from <= now:
            self._note(kept, now)

    def _note(self, kept: _CachedToken, now: float) -> None:
        kept.note_from = now + USE_NOTED_EVERY.total_seconds()
        _ = self._tasks.start(self._note_use(kept.token.id))

    async def _note_use(self, token_id: UUID) -> None:
        """Record that it was used. Nobody waits for it, and where it fails the next minute's is as good."""
        try:
            await self._database.run(lambda unit: unit.access.note_use(token_id))
        except NoteFlowHooksError as error:
            log.debug("the use of token %s is not recorded: %s", token_id, error)
        except Exception:
            # The boundary of a task that nobody waits for: a call is never worse off for it.
            log.exception("the use of token %s could not be recorded", token_id)

    def _drop_outdated(self, now: float) -> None:
        if len(self._cached) >= _CACHED:
            self._cached = {digest: each for digest, each in self._cached.items() if each.until > now}
