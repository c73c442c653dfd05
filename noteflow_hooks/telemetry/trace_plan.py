"""What a process that traces needs to know: where spans go, how many may wait, and which traces are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.telemetry.sampling import Sampling


class TracePlan(NamedTuple):
    """The same for all programs of a system, but for what they are called."""

    #: The whole URL of the collector's traces.
    url: str
    headers: Mapping[str, str]
    #: How long a collector may take for some spans, trying again included.
    timeout_s: float
    #: How many spans may wait; what comes beyond is dropped.
    queue: int
    #: How many are sent together, and how often the others.
    batch: int
    every_ms: float
    sampling: Sampling
    #: What stands for the name that a program has by itself; None for that name.
    service: str | None
    #: Further attributes of the program.
    resource: Mapping[str, str]

    def described(self, program: str) -> dict[str, str]:
        """Return the attributes of a program, such as ``worker``."""
        return {"service.namespace": "noteflow", "service.name": self.service or f"noteflow-hooks-{program}"} | dict(
            self.resource
        )
