"""Who calls: every call but health needs a token. It acts in the token's workspace, within the token's scopes."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.audit.entries import Actor
from noteflow_hooks.errors import ScopeError
from noteflow_hooks.rpc.interceptors.scopes import SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken, Scope
    from noteflow_hooks.rpc.interceptors.call import Call

#: At most so long as any token, and visible ASCII: all else is refused without asking the database.
_BEARER: Final = re.compile(r"bearer +([!-~]{1,512}) *", re.ASCII | re.IGNORECASE)
_call: ContextVar[Call] = ContextVar("call")


def enter_call(call: Call) -> None:
    """Have what the running task does from now on be part of that call."""
    _call.set(call)


def current_call() -> Call:
    """Return the call that is being answered."""
    return _call.get()


def current_workspace() -> UUID:
    """Return the workspace of the call that is being answered."""
    return _call.get().caller.workspace_id


def current_caller() -> ApiToken:
    """Return the record of the token that the call came with."""
    return _call.get().caller


def current_token() -> UUID:
    """Return the id of the token that the call came with."""
    return _call.get().caller.id


def current_actor() -> Actor:
    """Return who calls, as the audit trail names it."""
    return Actor.of_token(_call.get().caller)


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the token; None where there is not exactly one, or where it can't be a token of ours."""
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    found = _BEARER.fullmatch(values[0])
    return None if found is None else found[1]


def is_known(method: str) -> bool:
    """Tell whether it is one of our RPCs that a scope is known for."""
    return method in SCOPES


def check_scope(caller: ApiToken, method: str) -> None:
    """Raise ScopeError where the token is not for that method."""
    needed = SCOPES.get(method)
    if needed is not None and needed not in caller.scopes:
        name = method.rpartition("/")[2]
        raise ScopeError(f"{name} needs the scope {needed}; this token has {_listed(caller.scopes)}")


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(sorted(scopes))
