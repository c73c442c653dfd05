"""The usual format: the payload is the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.rendering.occurrence import JSON, Rendered

if TYPE_CHECKING:
    from noteflow_hooks.rendering.occurrence import Occurrence


def render_noteflow(occurrence: Occurrence) -> Rendered:
    """Return the payload as it is stored."""
    return Rendered(occurrence.payload, JSON)
