"""The client of the gRPC server, for programs: :func:`connect`, and :func:`connect_async` for those with an event loop.

Its calls take and return the proto's messages, which are in ``pb``, and raise what ``noteflow_hooks.errors`` has.
Nothing of Celery or SQLAlchemy comes with it. ``docs/client.md`` has programs that use it.
"""

from __future__ import annotations

from noteflow_hooks.client.async_connection import AsyncClient, connect_async
from noteflow_hooks.client.connection import Client, connect
from noteflow_hooks.client.requests import event_request
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

__all__ = ["AsyncClient", "Client", "connect", "connect_async", "event_request", "pb"]
