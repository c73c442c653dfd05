"""The dashboard's answers, which it gives over HTTP: its own loop does."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING

from noteflow_hooks.cli.support.dashboard_address import host_names
from noteflow_hooks.cli.support.own_server import reachable
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings


def check_alive(settings: Settings, *, timeout_s: float) -> str:
    """Return where the dashboard is; raise UnavailableError where none answers."""
    at, cert = reachable(settings.dashboard_bind), settings.dashboard_tls_cert
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - this machine asks itself whether somebody answers
    url = f"{'https' if cert else 'http'}://{at}"
    connection = (
        http.client.HTTPSConnection(at, timeout=timeout_s, context=context)
        if cert
        else http.client.HTTPConnection(at, timeout=timeout_s)
    )
    try:
        # By a name that it is reached under, whichever those are.
        host = min(host_names(settings), default=at)
        connection.request("GET", "/alive", headers={"host": host})
        if connection.getresponse().read() != b"alive\n":
            raise UnavailableError(f"what answers at {url} is no dashboard")
    except (OSError, http.client.HTTPException):
        raise UnavailableError(f"no dashboard answers at {url}") from None
    finally:
        connection.close()
    return url
