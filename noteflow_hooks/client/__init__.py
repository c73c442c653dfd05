"""The client for programs: synchronous calls that carry a token, and errors of the project's own tree.

It needs grpcio and nothing of Celery or SQLAlchemy. ``pb`` has the messages, as in ``noteflow.proto``.
"""

from __future__ import annotations

from noteflow_hooks.client.connection import Client, connect
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

__all__ = ["Client", "connect", "pb"]
