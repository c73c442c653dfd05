"""Where the server listens, and what one connection may cost it. Without TLS only this machine may reach it.

Each of gRPC's arguments stands here with its reason. What each means is in gRPC's ``channel_arg_names.h``.
"""

from __future__ import annotations

import resource
import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.tls import CERT, KEY, ServerCertificates

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

    from noteflow_hooks.rpc.server.tls import TlsFiles

#: Calls under way in the whole server, calls without a token included; more are refused as RESOURCE_EXHAUSTED.
CALLS_AT_ONCE: Final = 10_000

#: The setting that names the address.
BIND: Final = "NOTEFLOW_HOOKS_GRPC_BIND"
_PLAINTEXT: Final = "NOTEFLOW_HOOKS_GRPC_INSECURE_PLAINTEXT"
#: Sockets in the file system, or in a network namespace: only this machine reaches them.
SOCKETS: Final = ("unix:", "unix-abstract:")
_OPTIONS: Final = (
    # gRPC's default, spelled out. A payload has 10 KiB and a second of CD audio 172 KiB, but a summary may hold some
    # megabytes; a message is read only once its caller is known and counted.
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # So much of a message that nobody waits for yet is taken in, of each call. By default the line is probed, and this
    # window grows to megabytes, which a call that is not read holds for nothing.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 65_535),
    ("grpc.http2.write_buffer_size", 65_536),
    # A call's metadata: token, path and user agent have some 500 bytes. Between the two limits gRPC refuses at random,
    # so they are equal.
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 8 * 1024),
    # Calls at once over one connection; those beyond wait in the caller's own process. By default any number.
    ("grpc.max_concurrent_streams", 1_000),
    # With this protection calls that are over count until they are cleaned up, and the next ones are refused as
    # UNAVAILABLE: of 5,000 begun at once over one connection 2,749 were lost. The limits on calls hold against floods
    # of resets.
    ("grpc.http.overload_protection", 0),
    # gRPC's own limit of 1,000 drops what a burst brings beyond it as CANCELLED, which says nothing to a caller.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    # By default a call that has waited for half a minute is dropped, also as CANCELLED.
    ("grpc.server_max_unrequested_time_in_server", 3600),
    # A caller whose network is gone is noticed within 40 s, and its recording ended.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Callers may ping every 10 s. The connection of one that pings more often is closed with too_many_pings.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A connection whose handshake takes longer is closed; by default after two minutes.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # A connection without a call is closed after five minutes; a caller's gRPC connects again by itself. By default
    # never.
    ("grpc.max_connection_idle_ms", 300_000),
    # After half an hour a connection takes no new calls, and its caller opens another one. So a renewed certificate, a
    # changed list of authorities and a load balancer come into effect. Calls under way go on to their end, recordings
    # of hours too: their grace has no limit.
    ("grpc.max_connection_age_ms", 1_800_000),
)


def arguments(replaced: Mapping[str, int], *, shares_port: bool = False) -> list[tuple[str, int]]:
    """Return gRPC's arguments for a server; ``replaced`` has other values for some, or further ones.

    ``shares_port`` is for the servers of a group. Two others on one port would share its calls, silently.
    """
    # A quarter of the file descriptors is left for the database, Redis and the log.
    ours = {**dict(_OPTIONS), "grpc.max_allowed_incoming_connections": _connections()}
    ours["grpc.so_reuseport"] = int(shares_port)
    return list((ours | dict(replaced)).items())


def refuse_plaintext(bind: str) -> None:
    """Raise SettingsError where others than this machine could reach the address: tokens would pass in the clear."""
    if not is_local(bind):
        raise SettingsError(
            f"{BIND} is {bind!r}, which others than this machine may reach: set {CERT} and {KEY}, "
            f"or {_PLAINTEXT}=true to let tokens and meetings pass unencrypted"
        )


def listen(server: grpc.aio.Server, *, bind: str, tls: TlsFiles | None) -> str:
    """Open the port, with TLS where there are files for it, and return its address; raise SettingsError."""
    certificates = None if tls is None else ServerCertificates(tls)
    try:
        if certificates is None:
            port = server.add_insecure_port(bind)
        else:
            port = server.add_secure_port(bind, certificates.credentials())
    except RuntimeError:
        port = 0
    if port == 0:
        raise cant_listen(bind)
    return bind if bind.startswith(SOCKETS) else f"{bind.rpartition(':')[0]}:{port}"


def cant_listen(bind: str) -> SettingsError:
    """Return the error for an address that can't be bound."""
    return SettingsError(f"{BIND}: can't listen on {bind}; it is in use, not this machine's, or not host:port")


def is_local(bind: str) -> bool:
    """Tell whether only this machine reaches the address; False where that is not known."""
    if bind.startswith(SOCKETS):
        return True
    host = bind.rpartition(":")[0]
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        # gRPC reads it in ways of its own: a scheme, or an IPv6 address without a port.
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_loopback(str(each[4][0])) for each in found)


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback


def _connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CALLS_AT_ONCE if soft == resource.RLIM_INFINITY else max(1, min(CALLS_AT_ONCE, soft * 3 // 4))
