"""How a connection is opened, for both clients. A token goes unencrypted to this machine alone."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import grpc

from noteflow_hooks.client.calls import Manner
from noteflow_hooks.client.retrying import ATTEMPTS, channel_options
from noteflow_hooks.errors import InvalidInputError, UnencryptedError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How long a call may take that names no timeout of its own.
TIMEOUT: Final = timedelta(seconds=15)
#: For how long the events of a batch are tried again that the server was not there for.
PATIENCE: Final = timedelta(seconds=30)
#: The environment's proxies are meant for the web: gRPC would send even calls to this machine through one.
OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def checked(
    server: str,
    token: str,
    *,
    credentials: grpc.ChannelCredentials | None,
    plaintext: bool,
    timeout: timedelta,
    attempts: int,
) -> Manner:
    """Return how the client calls; raise where it may not, or can't."""
    # gRPC's own error for what can't be sent would quote it.
    if not token or not all("!" <= character <= "~" for character in token):
        raise InvalidInputError("token", "is empty, or holds characters that no token has; visible ASCII is allowed")
    if not 1 <= attempts <= ATTEMPTS:
        raise InvalidInputError("attempts", f"is {attempts}; 1 to {ATTEMPTS} are allowed")
    if credentials is None and not plaintext and not _is_here(server):
        raise UnencryptedError(f"{server} may be another machine, where a token does not go unencrypted")
    return Manner(server, token, timeout, has_keys=attempts > 1)


def options(server_name: str | None, *, attempts: int) -> Sequence[tuple[str, str | int]]:
    """Return what a channel is opened with; ``server_name`` counts where there is TLS."""
    named = () if server_name is None else (("grpc.ssl_target_name_override", server_name),)
    return (*OPTIONS, *channel_options(attempts), *named)


def open_channel(
    server: str,
    credentials: grpc.ChannelCredentials | None = None,
    server_name: str | None = None,
    *,
    attempts: int = 1,
) -> grpc.Channel:
    """Return a connection as a client's is, for services that need no token."""
    if credentials is None:
        return grpc.insecure_channel(server, options=options(None, attempts=attempts))
    return grpc.secure_channel(server, credentials, options=options(server_name, attempts=attempts))


def open_async_channel(
    server: str, credentials: grpc.ChannelCredentials | None, server_name: str | None, *, attempts: int
) -> grpc.aio.Channel:
    """Return the same for asyncio, in the loop that runs."""
    if credentials is None:
        return grpc.aio.insecure_channel(server, options=options(None, attempts=attempts))
    return grpc.aio.secure_channel(server, credentials, options=options(server_name, attempts=attempts))


def _is_here(server: str) -> bool:
    """Tell by its form alone whether the address is this machine: a name server's answer may change."""
    if server.startswith("unix:"):
        return True
    host = server.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
