"""Where limits are counted: in the server's own memory or, where several share a port, in memory that they share."""

from __future__ import annotations

from typing import Final, Protocol

from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.open_calls import OpenCalls


class Counting(Protocol):
    """Makes what the interceptors count with. A name is given once in each server."""

    def buckets(self, name: str, rate_per_s: float, *, burst: float) -> Buckets:
        """Return buckets of one rate and one size."""
        ...

    def open_calls(self, name: str, kind: str, *, most: int) -> OpenCalls:
        """Return a count of open calls; ``kind`` is what a refusal calls them."""
        ...


class _OwnCounting:
    """Counts in this process's memory."""

    def buckets(self, _: str, rate_per_s: float, *, burst: float) -> Buckets:
        """Return buckets of this process."""
        return Buckets(rate_per_s, burst=burst)

    def open_calls(self, _: str, kind: str, *, most: int) -> OpenCalls:
        """Return a count of this process's open calls."""
        return OpenCalls(kind, most=most)


#: Counting of a server that has its port for itself.
OWN: Final[Counting] = _OwnCounting()
