"""Who calls: every call but health needs a token. It acts in the token's workspace, within the token's scopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import grpc

from noteflow_hooks.domain.access import ApiToken
from noteflow_hooks.errors import ScopeError, UnauthenticatedError
from noteflow_hooks.rpc.interceptors.errors import OURS, refusing
from noteflow_hooks.rpc.interceptors.scopes import LISTS, SCOPES
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL
from noteflow_hooks.rpc.runtime.fair_queue import TOKENS, Lane, enter_lane

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from noteflow_hooks.domain.access import Scope
    from noteflow_hooks.rpc.runtime.calls import Continuation, Handler

#: Returns the record of a token that is good, or None.
Authenticate = Callable[[str], Awaitable[ApiToken | None]]

#: Longer than any token. What is longer, or not visible ASCII, is refused without asking the database.
_LENGTH_LIMIT: Final = 512
_caller: ContextVar[ApiToken] = ContextVar("caller")


def current_workspace() -> UUID:
    """Return the workspace of the call that is being answered."""
    return _caller.get().workspace_id


def current_token() -> UUID:
    """Return the id of the token that the call came with."""
    return _caller.get().id


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls through that have a good token, and refuses all others, whatever method they name."""

    def __init__(self, authenticate: Authenticate, *, open_services: Iterable[str]) -> None:
        """``open_services`` need no token."""
        self._authenticate = authenticate
        self._open = tuple(f"/{service}/" for service in open_services)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Set the caller for what runs after this in the call's task, or refuse the call."""
        method = handler_call_details.method
        if method.startswith(self._open):
            return await continuation(handler_call_details)
        enter_lane(TOKENS)
        try:
            caller = await self._caller_of(handler_call_details)
            _check_scope(caller, method)
        except Exception as error:  # noqa: BLE001 - the boundary: it becomes the call's answer
            return refusing(error)
        _caller.set(caller)
        enter_lane(Lane(caller.workspace_id, is_list=method in LISTS))
        handler = await continuation(handler_call_details)
        # A method of ours that is missing in the table of scopes is served to nobody, rather than to everybody.
        return None if method.startswith(OURS) and method not in SCOPES else handler

    async def _caller_of(self, details: grpc.HandlerCallDetails) -> ApiToken:
        token = bearer(details.invocation_metadata or ())
        caller = await self._authenticate(token) if token is not None else None
        if caller is None:
            raise UnauthenticatedError(REFUSAL)
        return caller


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the token; None where there is not exactly one, or where it can't be a token of ours."""
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
