"""The client of the gRPC server, for programs: :func:`connect`. Nothing of Celery or SQLAlchemy comes with it.

Its calls take and return the proto's messages (``noteflow_hooks.rpc.proto.noteflow.v1.noteflow_pb2``) and raise what is
in ``noteflow_hooks.errors``. They block: a thread waits for its call. ``docs/client.md`` has a program that uses it.
"""

from __future__ import annotations

from noteflow_hooks.client.connection import Client, connect

__all__ = ["Client", "connect"]
