"""The trace of an event: what was done for it belongs together, in whichever process and whenever it is done."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.telemetry.traceparent import TraceContext

if TYPE_CHECKING:
    from datetime import datetime

#: So long after the event attempts belong to its trace. Who shows traces takes them for over by then.
TRACE_LASTS: Final = timedelta(hours=1)


class EventTrace(NamedTuple):
    """Where an event's trace goes on, and since when it is stored."""

    context: TraceContext
    since: datetime

    @classmethod
    def read(cls, traceparent: str | None, *, since: datetime | None) -> EventTrace | None:
        """Return what is stored so; None where there is none, or where the row holds what it may not."""
        context = None if traceparent is None else TraceContext.read(traceparent)
        return None if context is None or since is None else cls(context, since)

    def lasts_at(self, moment: datetime) -> bool:
        """Tell whether what is done then belongs to the trace; later things have one of their own, with a link."""
        return moment - self.since < TRACE_LASTS
