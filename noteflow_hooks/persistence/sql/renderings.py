"""By what deliveries are rendered that are first claimed now, and what renderers need of their events, in SQL."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.payload_versions import FIRST
from noteflow_hooks.domain.renderings import NEWEST_RENDERERS, EventFacts

_NUMBERS: Final = " ".join(f"WHEN '{name}' THEN '/{number}'" for name, number in NEWEST_RENDERERS.items())


# rule of domain.renderings.Rendering.of
def rendering_sql(config: str) -> str:
    """Return what a delivery of the endpoint gets when it is first claimed: nothing, where that is the usual."""
    return (
        f"CASE WHEN {config}.format <> '{Format.NOTEFLOW}' OR {config}.payload_version <> {FIRST}"
        f" THEN {config}.format || '/' || {config}.payload_version || CASE {config}.format {_NUMBERS} END END"
    )


def facts_sql(rendering: str) -> str:
    """Return what a renderer needs of ``event``, as JSON, and its trace; nothing is read where there is neither."""
    return f"""CASE WHEN event.traceparent IS NOT NULL
                THEN json_build_array(event.meeting_id, event.occurred_at, event.traceparent, event.created_at)::text
                WHEN {rendering} IS NOT NULL THEN json_build_array(event.meeting_id, event.occurred_at)::text END"""


def facts_of(text: str | None) -> EventFacts | None:
    """Return the facts; None where there are none, or where the row holds what it may not."""
    if text is None:
        return None
    meeting_id, occurred_at, *trace = json.loads(text)
    try:
        facts = EventFacts(meeting_id, datetime.fromisoformat(occurred_at))
        return facts if not trace else facts.traced(trace[0], since=datetime.fromisoformat(trace[1]))
    except ValueError:
        return None
