"""The client of the gRPC server, for programs: :func:`connect`. Nothing of Celery or SQLAlchemy comes with it.

Its calls take and return the proto's messages, which are in ``pb``, and raise what ``noteflow_hooks.errors`` has. They
block: a thread waits for its call. ``docs/client.md`` has a program that uses it.
"""

from __future__ import annotations

from noteflow_hooks.client.connection import Client, connect
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

__all__ = ["Client", "connect", "pb"]
