"""Makes one signed POST and returns its result as a value. It starts no threads, and does nothing at import."""

from __future__ import annotations

from noteflow_hooks.executor.webhook_executor import WebhookExecutor

__all__ = ["WebhookExecutor"]
