"""One server's part of a group's limits in a process of its own, told what to do line by line.

``python -m tests.support.counting_program MEMBERSHIP`` reads a word and its arguments from each line, and answers each
with a line.
"""

from __future__ import annotations

import sys
import time

from noteflow_hooks.rpc.sharing.counting import SharedBuckets, Tally
from noteflow_hooks.rpc.sharing.membership import Membership
from noteflow_hooks.rpc.sharing.memory import SharedMemory


class Counter:
    """What the lines may ask for."""

    def __init__(self, membership: Membership) -> None:
        self._memory = SharedMemory(membership.memory, count=membership.count)
        self._calls = Tally(self._memory, "calls", number=membership.number)

    def take(self, rate: str, burst: str, until: str) -> str:
        """Take for one key as fast as it goes, until that moment; say how many were granted, and when it ended."""
        buckets = SharedBuckets(self._memory, "tokens", float(rate), burst=float(burst))
        granted = 0
        while time.monotonic() < float(until):
            granted += not buckets.take("a token")
        return f"{granted} {time.monotonic()}"

    def enter(self, key: str, most: str) -> str:
        """Open a call, if it may be."""
        return "full" if self._calls.enter(key, most=int(most)) is None else "open"

    def hold(self) -> str:
        """Take the lock, and keep it for as long as the process lives."""
        self._memory.lock.__enter__()
        return "held"


def main() -> None:
    """Answer until there are no more lines."""
    counter = Counter(Membership.parse(sys.argv[1]))
    for line in sys.stdin:
        word, *arguments = line.split()
        sys.stdout.write(f"{getattr(counter, word)(*arguments)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
