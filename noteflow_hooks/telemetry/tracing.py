"""What the rest of the project knows of traces. Nothing of OpenTelemetry is imported here.

Who records events asks which trace the running call belongs to; in a process that does not trace the answer is None,
whatever callers send. What is over is told to a :class:`SpanRecorder`, where the process has one.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from noteflow_hooks.telemetry.sampling import Sampling
    from noteflow_hooks.telemetry.traceparent import TraceContext

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def enter_trace(traceparent: str) -> None:
    """Have what the running task does from now on belong to that trace."""
    _traceparent.set(traceparent)


def current_traceparent() -> str | None:
    """Return where the trace of the running call goes on; None where it has none."""
    return _traceparent.get()


class SpanOf(NamedTuple):
    """What a span that is over was about. No attribute has a secret, more of a URL than its host, or a payload."""

    name: str
    attributes: Mapping[str, str | int]
    #: When it began, in nanoseconds of Unix time.
    began_ns: int
    #: The kind of error that it ended with; None for none.
    error: str | None = None


class ServedSpan(Protocol):
    """The span of a call that is being answered."""

    #: Where its trace goes on.
    traceparent: str

    def end(self, code: str, *, error: bool) -> None:
        """End it, with gRPC's code."""


class SpanRecorder(Protocol):
    """Records what one process does, of the traces that are sampled."""

    sampling: Sampling

    def served(self, name: str, attributes: Mapping[str, str | int], caller: TraceContext | None) -> ServedSpan | None:
        """Begin a call's span, which belongs to its caller's trace; None where that one is not recorded."""

    def dispatched(self, what: SpanOf, traceparents: str) -> None:
        """Record a round of dispatching, linked to those of its events' traces that are recorded, if there are any."""

    def posted(self, what: SpanOf, parent: TraceContext | None, links: Iterable[TraceContext] = ()) -> None:
        """Record a POST, as part of a trace or, with links, as one of its own."""

    def close(self) -> None:
        """Send what waits to be sent, for a moment at the most."""
