"""Which traces are recorded, decided before anything is made: what is not sampled costs a look and a number drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.telemetry.traceparent import TraceContext

#: By this part of a trace's id OpenTelemetry's samplers by share decide, so that all who use them agree.
_BITS: Final = 64
_LOW: Final = (1 << _BITS) - 1
#: OpenTelemetry's names: whether the caller decides where it has begun the trace, and the share of the others, None for
#: what a setting of its own says.
SAMPLERS: Final[dict[str, tuple[bool, float | None]]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}


class Sampling:
    """How it is decided."""

    def __init__(self, sampler: str, share: float) -> None:
        """``sampler`` is one of :data:`SAMPLERS`, ``share`` from 0 to 1."""
        self._follows_parent, own = SAMPLERS[sampler]
        self._bound = round((share if own is None else own) * (1 << _BITS))

    def takes(self, parent: TraceContext) -> bool:
        """Tell whether what belongs to a trace is recorded that was begun elsewhere."""
        return parent.is_sampled if self._follows_parent else parent.trace_id & _LOW < self._bound

    def new_trace(self, draw: Callable[[int], int]) -> int | None:
        """Return the id of a new trace, or None where it is not to be recorded; ``draw`` gives so many random bits."""
        low = draw(_BITS)
        if low >= self._bound:
            return None
        return (draw(_BITS) << _BITS | low) or 1
