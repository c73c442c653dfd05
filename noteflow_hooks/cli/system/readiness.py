"""Whether a gRPC server answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noteflow_hooks.cli.addresses import host_and_port
from noteflow_hooks.cli.system.background import in_background, result_of, until
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_LISTENS_S: Final = 30.0
_ANSWERS_S: Final = 10.0


def wait_until_serving(address: str, *, check: Callable[[], None]) -> None:
    """Wait until the server at the address says that it serves; ``check`` raises to break the wait off."""
    # First by hand: a channel that was refused once waits for a second before it tries again.
    if not until(lambda: _listens(address), check=check, timeout_s=_LISTENS_S):
        raise UnavailableError(f"no server answers at {address} after {_LISTENS_S:g} s")
    result_of(in_background(lambda: _check_health(address)), check=check)


def _listens(address: str) -> bool:
    try:
        socket.create_connection(host_and_port(address) or ("", 0)).close()
    except OSError:
        return False
    return True


def _check_health(address: str) -> None:
    # A proxy in our environment must not stand between us and our own machine.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know nothing of its methods
        try:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=_ANSWERS_S, wait_for_ready=True)
        except grpc.RpcError as error:
            raise UnavailableError(f"the server at {address} is not well: {error.code().name}") from None
