"""The statement that finds the event which an idempotency key stands for."""

from __future__ import annotations

from typing import Final

from noteflow_hooks.domain.events import Event
from noteflow_hooks.persistence.sql.wire import Statement

_COLUMNS: Final = ", ".join("payload::text AS payload" if name == "payload" else name for name in Event.__slots__)
BY_KEY: Final = Statement(
    f"SELECT {_COLUMNS} FROM noteflow.webhook_events"  # noqa: S608 - constants
    " WHERE workspace_id = :workspace_id AND idempotency_key = :idempotency_key",
    reads=True,
)
