"""Waits until a gRPC server answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.addresses import host_and_port
from noteflow_hooks.local.stack.background import in_background, result_of, until
from noteflow_hooks.rpc.server.probe import check_serving

if TYPE_CHECKING:
    from collections.abc import Callable

_LISTENS_S: Final = 30.0
_ANSWERS_S: Final = 10.0


def wait_until_serving(address: str, *, check: Callable[[], None]) -> None:
    """Wait until the server at the address says that it serves; ``check`` raises to break the wait off."""
    # A plain socket first: a gRPC channel that was refused waits a second before it tries again.
    if not until(lambda: _listens(address), check=check, timeout_s=_LISTENS_S):
        raise UnavailableError(f"no server answers at {address} after {_LISTENS_S:g} s")
    result_of(in_background(lambda: check_serving(address, timeout_s=_ANSWERS_S, patient=True)), check=check)


def wait_until_listening(address: str, *, check: Callable[[], None]) -> None:
    """Wait until something listens at the address, for whoever is told of it next; ``check`` as above."""
    if not until(lambda: _listens(address), check=check, timeout_s=_LISTENS_S):
        raise UnavailableError(f"nothing answers at {address} after {_LISTENS_S:g} s")


def _listens(address: str) -> bool:
    try:
        socket.create_connection(host_and_port(address) or ("", 0)).close()
    except OSError:
        return False
    return True
