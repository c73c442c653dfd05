"""Whether a server serves, asked from its own machine: for containers' health checks, and for `up` and `demo`.

With TLS exactly the server's own certificate is expected, so no authority is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.server.tls import name_in, read_authorities, read_pair

if TYPE_CHECKING:
    from pathlib import Path

#: Never through a proxy that the environment names: the server is on this machine.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def check_serving(
    address: str,
    *,
    timeout_s: float,
    certificate: Path | None = None,
    own: tuple[Path, Path] | None = None,
    patient: bool = False,
) -> None:
    """Return if the server at ``host:port`` answers that it serves, else raise UnavailableError.

    ``certificate`` is the server's, where it speaks TLS; ``own`` are our certificate and key, where it wants one.
    With ``patient`` a connection that fails is tried again until the time is up.
    """
    with _channel(address, certificate, own) as channel:
        check_over(channel, address, timeout_s=timeout_s, patient=patient)


def check_over(channel: grpc.Channel, address: str, *, timeout_s: float, patient: bool = False) -> None:
    """Do as :func:`check_serving` over a connection that there is."""
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know nothing of its methods
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=patient)
    except grpc.RpcError as error:
        raise UnavailableError(f"the server at {address} is not well: {error.code().name}") from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnavailableError(f"the server at {address} is not serving")


def _channel(address: str, certificate: Path | None, own: tuple[Path, Path] | None) -> grpc.Channel:
    if certificate is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    expected = read_authorities(certificate, name="the server's certificate")
    chain, key = (None, None) if own is None else read_pair(own[0], key=own[1], names=("--tls-cert", "--tls-key"))
    options = (*_OPTIONS, ("grpc.ssl_target_name_override", name_in(expected)))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(expected, key, chain), options=options)
