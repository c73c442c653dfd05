"""Every renderer, by its format and its number.

What is begun with one is rendered by it to its end, over settings and releases. So an entry is never changed to
give other bytes, and never removed while a delivery may need it: a change is a new entry, with the next number.
``tests/unit/rendering/golden`` has what each gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.rendering.cloudevents import render_cloudevents, render_cloudevents_binary
from noteflow_hooks.rendering.discord import render_discord
from noteflow_hooks.rendering.noteflow import render_noteflow
from noteflow_hooks.rendering.slack import render_slack
from noteflow_hooks.rendering.standard import render_standard
from noteflow_hooks.rendering.teams import render_teams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.rendering.occurrence import Renderer

RENDERERS: Final[Mapping[tuple[str, int], Renderer]] = {
    ("noteflow", 1): render_noteflow,
    ("standard", 1): render_standard,
    ("cloudevents", 1): render_cloudevents,
    ("cloudevents-binary", 1): render_cloudevents_binary,
    ("slack", 1): render_slack,
    ("discord", 1): render_discord,
    ("teams", 1): render_teams,
}


def renderer(format_: str, number: int) -> Renderer | None:
    """Return the renderer; None where this release has none with that number."""
    return RENDERERS.get((format_, number))
