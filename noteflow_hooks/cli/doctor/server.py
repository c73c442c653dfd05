"""The gRPC server. Nobody has to run one beside a worker: where none is named, none has to be there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.doctor.findings import Check, Verdict, ok, warning
from noteflow_hooks.local.addresses import host_and_port
from noteflow_hooks.rpc.server.probe import check_serving

if TYPE_CHECKING:
    from noteflow_hooks.cli.doctor.place import Place

_TIMEOUT_S: Final = 2.0
_START: Final = "start it (noteflow-hooks serve), or see its log"


def check(place: Place) -> Check:
    """Return the check."""
    return Check("server", lambda: _judge(place), remedy=_START)


def _judge(place: Place) -> Verdict:
    if not place.server_is_named and _nobody_listens(place.server):
        advice = "start it (noteflow-hooks serve), unless it runs on another machine"
        return warning(f"nobody listens at {place.server}, the default", advice)
    certificate = place.settings.grpc_tls_cert
    check_serving(place.server, timeout_s=_TIMEOUT_S, certificate=certificate, own=place.own)
    return ok(f"{place.server} is serving")


def _nobody_listens(address: str) -> bool:
    place = host_and_port(address)
    try:
        if place is not None:
            socket.create_connection(place, timeout=_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
