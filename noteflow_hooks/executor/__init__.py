"""One signed POST, and what came of it as a value. Nothing happens at import, and no thread waits here."""

from __future__ import annotations

from noteflow_hooks.executor.webhook_executor import WebhookExecutor

__all__ = ["WebhookExecutor"]
