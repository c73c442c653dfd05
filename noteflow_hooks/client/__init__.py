"""The client of the gRPC server, for programs: :func:`connect`. Nothing of Celery or SQLAlchemy comes with it."""

from __future__ import annotations

from noteflow_hooks.client.connection import Client, connect

__all__ = ["Client", "connect"]
