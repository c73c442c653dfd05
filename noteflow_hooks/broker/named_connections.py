"""Connections to Redis that say whose they are, where the user may; ``CLIENT LIST`` shows it, and `doctor` reads it."""

from __future__ import annotations

from typing import Any

from redis.connection import Connection, SSLConnection
from redis.exceptions import ResponseError

from noteflow_hooks.concurrency.identity import client_name


class _Named:
    """Names the connection once it is there; redis-py would give it up where the user may not name it."""

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Do what redis-py does, then say the name."""
        # Both are redis-py's, which the classes below bring along.
        super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]  # as said
        this: Any = self
        this.send_command("CLIENT", "SETNAME", client_name(), check_health=check_health)
        try:
            this.read_response()
        except ResponseError:
            # A user that may do only what is needed; all works without.
            return


class NamedConnection(_Named, Connection):
    """Without TLS."""


class NamedSSLConnection(_Named, SSLConnection):
    """With TLS."""
