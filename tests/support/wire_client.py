"""A client that raises gRPC's own errors, for tests of what goes over the wire: the code, the line and the details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import grpc

from noteflow_hooks.client.calls import Authorizing
from noteflow_hooks.client.connection import OPTIONS, TIMEOUT
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from datetime import timedelta


class WireClient:
    """The stubs of the three services over a plain connection, with the token and the default timeout."""

    def __init__(self, server: str, token: str, *, timeout: timedelta = TIMEOUT, is_alone: bool = False) -> None:
        """``is_alone`` gives it a connection of its own; else clients of one server share one."""
        own = (("grpc.use_local_subchannel_pool", int(is_alone)),)
        self._channel = grpc.insecure_channel(server, options=(*OPTIONS, *own))
        channel = grpc.intercept_channel(self._channel, Authorizing(token, timeout=timeout))
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        self.events = pb_grpc.EventServiceStub(channel)
        self.audit = pb_grpc.AuditServiceStub(channel)

    def wait_until_connected(self, *, timeout_s: float) -> None:
        """Return once the server has taken the connection."""
        grpc.channel_ready_future(self._channel).result(timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
