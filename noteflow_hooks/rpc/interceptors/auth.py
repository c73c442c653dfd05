"""Who calls: every call but health needs a token, whose workspace and scopes are all that the call ever gets."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import grpc

from noteflow_hooks.domain.access import USE_NOTED_EVERY, ApiToken, hash_token
from noteflow_hooks.errors import NoteFlowHooksError, ScopeError, UnauthenticatedError
from noteflow_hooks.rpc.interceptors.errors import OURS, refusing
from noteflow_hooks.rpc.interceptors.scopes import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from noteflow_hooks.domain.access import Scope
    from noteflow_hooks.rpc.runtime.calls import Continuation, Handler
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks

log = logging.getLogger(__name__)

#: Returns the record of a token that is good, or None.
Authenticate = Callable[[str], Awaitable[ApiToken | None]]

#: How long a token counts after it was looked up: one that was revoked is refused within this time. With how often the
#: open streams' tokens are looked at, it is less than the 5 s within which nothing goes on that a revoked token began.
TOKEN_TTL_S: Final = 3.0
#: What who comes without a good token is told, whatever is wrong with it: more would help only who guesses.
REFUSAL: Final = "a valid token is needed, as metadata: authorization: Bearer <token>"
#: Tokens kept at once; beyond it those that are out of date are dropped.
_CACHED: Final = 10_000
#: Longer than any token. What is longer, or not visible ASCII, is refused without a look into the database.
_LENGTH_LIMIT: Final = 512
_caller: ContextVar[ApiToken] = ContextVar("caller")


def current_workspace() -> UUID:
    """Return the workspace of the call that is being answered."""
    return _caller.get().workspace_id


def current_token() -> UUID:
    """Return the id of the token that the call came with."""
    return _caller.get().id


@dataclass(slots=True)
class _Known:
    """A token that was found: until when it counts unasked, and from when on its use is worth recording again."""

    token: ApiToken
    until: float
    note_from: float

    def good_at(self, now: float) -> bool:
        """Tell whether it still counts.

        The server's own clock may go wrong, so what it says of the token's end only leads to another look, at which
        the database's clock decides.
        """
        return self.until > now and self.token.live_at(datetime.now(UTC))


class Tokens:
    """Looks tokens up in the store, and remembers the good ones for :data:`TOKEN_TTL_S` seconds."""

    def __init__(self, database: Database, tasks: OwnedTasks, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``tasks`` do what no call waits for."""
        self._database = database
        self._tasks = tasks
        self._clock = clock
        self._known: dict[bytes, _Known] = {}

    async def find(self, token: str) -> ApiToken | None:
        """Return the token's record, or None; raise UnavailableError where the store doesn't answer."""
        digest, now = hash_token(token), self._clock()
        before = self._known.get(digest)
        if before is not None and before.good_at(now):
            return before.token
        found = await self._database.run(lambda unit: unit.access.find_token(digest))
        self._forget(now)
        # Again: another call may have found it meanwhile.
        before = self._known.get(digest)
        if found is None:
            self._known.pop(digest, None)
            return None
        # Counted from before the look, so that a token revoked meanwhile isn't kept for longer.
        known = _Known(found, until=now + TOKEN_TTL_S, note_from=now if before is None else before.note_from)
        self._known[digest] = known
        if known.note_from <= now:
            known.note_from = now + USE_NOTED_EVERY.total_seconds()
            _ = self._tasks.start(self._note_use(found.id))
        return found

    async def _note_use(self, token_id: UUID) -> None:
        """Record that it was used. Nobody waits for it, and where it fails the next minute's is as good."""
        try:
            await self._database.run(lambda unit: unit.access.note_use(token_id))
        except NoteFlowHooksError as error:
            log.debug("the use of token %s is not recorded: %s", token_id, error)
        except Exception:
            # The boundary of a task that nobody waits for: a call is never worse off for it.
            log.exception("the use of token %s could not be recorded", token_id)

    def _forget(self, now: float) -> None:
        if len(self._known) >= _CACHED:
            self._known = {digest: each for digest, each in self._known.items() if each.until > now}


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call through with a good token only, whatever it calls: unknown methods too."""

    def __init__(self, authenticate: Authenticate, *, open_services: Iterable[str]) -> None:
        """``open_services`` need no token."""
        self._authenticate = authenticate
        self._open = tuple(f"/{service}/" for service in open_services)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Set the caller for what runs after this in the call's task, or refuse."""
        method = handler_call_details.method
        if method.startswith(self._open):
            return await continuation(handler_call_details)
        try:
            caller = await self._caller_of(handler_call_details)
            _check_scope(caller, method)
        except Exception as error:  # noqa: BLE001 - the boundary: it becomes the call's answer
            return refusing(error)
        _caller.set(caller)
        handler = await continuation(handler_call_details)
        # One of ours that the table of scopes doesn't know is not served, rather than served to everybody.
        return None if method.startswith(OURS) and method not in SCOPES else handler

    async def _caller_of(self, details: grpc.HandlerCallDetails) -> ApiToken:
        token = bearer(details.invocation_metadata or ())
        caller = await self._authenticate(token) if token is not None else None
        if caller is None:
            raise UnauthenticatedError(REFUSAL)
        return caller


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the token, or None where there is not exactly one, or what is there can't be one."""
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    scheme, _, rest = values[0].partition(" ")
    token = rest.strip(" ")
    visible = len(token) in range(1, _LENGTH_LIMIT + 1) and all("!" <= character <= "~" for character in token)
    return token if visible and scheme.lower() == "bearer" else None


def _check_scope(caller: ApiToken, method: str) -> None:
    needed = SCOPES.get(method)
    if needed is not None and needed not in caller.scopes:
        name = method.rpartition("/")[2]
        raise ScopeError(f"{name} needs the scope {needed}; this token has {_listed(caller.scopes)}")


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(sorted(scopes))
