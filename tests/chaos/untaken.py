"""A worker with a fault of its own, for a run that must turn red: its sweeps run, and take nothing back.

What was in flight at a worker's death stays `sending` for good.
"""

from __future__ import annotations

from typing import Any

from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from workers.app import app


def _nothing(_: SqlAlchemyDeliveryStore, *, limit: int) -> int:  # noqa: ARG001 - the port's
    return 0


_patched: Any = SqlAlchemyDeliveryStore
_patched.reclaim_expired = _nothing

__all__ = ["app"]
