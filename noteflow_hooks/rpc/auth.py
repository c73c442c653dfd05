"""Who calls: every call but health needs a token, and the token's workspace is all that the call ever sees."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import grpc

from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.rpc.errors import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.domain.ports import UnitOfWork
    from noteflow_hooks.rpc.database import Database
    from noteflow_hooks.rpc.errors import Continuation, Handler
    from noteflow_hooks.rpc.host import Context

#: Returns the workspace that a token opens, or None.
Authenticate = Callable[[str], Awaitable[UUID | None]]

#: How long a token counts after it was looked up: a revoked one is refused within this time.
TOKEN_TTL_S: Final = 5.0
#: Tokens kept at once; beyond it those that are out of date are dropped.
_CACHED: Final = 10_000
_REFUSAL: Final = "a valid token is needed, as metadata: authorization: Bearer <token>"
_workspace: ContextVar[UUID] = ContextVar("workspace")


def current_workspace() -> UUID:
    """Return the workspace of the call that is being answered."""
    return _workspace.get()


class Tokens:
    """Looks tokens up in the store, and remembers the good ones for :data:`TOKEN_TTL_S` seconds."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[bytes, tuple[UUID, float]] = {}

    async def workspace_of(self, token: str) -> UUID | None:
        """Return the token's workspace, or None; raise UnavailableError where the store doesn't answer."""
        digest, now = hash_token(token), self._clock()
        if digest in self._known and self._known[digest][1] > now:
            return self._known[digest][0]
        found = await self._database.run(lambda unit: _find(unit, digest))
        self._forget(now)
        if found is None:
            self._known.pop(digest, None)
            return None
        # Counted from before the look, so that a token revoked meanwhile isn't kept for longer.
        self._known[digest] = (found.workspace_id, now + TOKEN_TTL_S)
        return found.workspace_id

    def _forget(self, now: float) -> None:
        if len(self._known) >= _CACHED:
            self._known = {digest: each for digest, each in self._known.items() if each[1] > now}


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets a call through with a good token only, whatever it calls: unknown methods too."""

    def __init__(self, authenticate: Authenticate, *, open_services: Iterable[str]) -> None:
        """``open_services`` need no token."""
        self._authenticate = authenticate
        self._open = tuple(f"/{service}/" for service in open_services)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Set the workspace for what runs after this in the call's task, or refuse."""
        if handler_call_details.method.startswith(self._open):
            return await continuation(handler_call_details)
        token = _bearer(handler_call_details)
        try:
            workspace = await self._authenticate(token) if token is not None else None
        except Exception as error:  # noqa: BLE001 - the boundary: it becomes the call's answer
            return _refusing(*status_of(error))
        if workspace is None:
            return _refusing(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)
        _workspace.set(workspace)
        return await continuation(handler_call_details)


def _find(unit: UnitOfWork, digest: bytes) -> ApiToken | None:
    return unit.access.find_token(digest)


def _bearer(details: grpc.HandlerCallDetails) -> str | None:
    """Return the token, or None where there is not exactly one."""
    values = [value for name, value in details.invocation_metadata or () if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _refusing(code: grpc.StatusCode, message: str) -> Handler:
    """Make a handler that answers before it has read anything, so it suits every kind of call."""

    async def refuse(_: Any, context: Context) -> None:  # noqa: ANN401 - any message
        await context.abort(code, message)

    return grpc.stream_stream_rpc_method_handler(refuse)
