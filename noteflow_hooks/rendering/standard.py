"""Standard Webhooks' envelope.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Payload structure".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.rendering.occurrence import JSON, Rendered
from noteflow_hooks.rendering.values import around, moment_text

if TYPE_CHECKING:
    from noteflow_hooks.rendering.occurrence import Occurrence


def render_standard(occurrence: Occurrence) -> Rendered:
    """Return ``type``, ``timestamp`` (when it happened) and ``data`` (the payload)."""
    values = {"type": occurrence.event_type, "timestamp": moment_text(occurrence.occurred_at)}
    return Rendered(around(values, payload=occurrence.payload), JSON)
