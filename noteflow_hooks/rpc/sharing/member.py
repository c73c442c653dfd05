"""A server's own end of its group."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from noteflow_hooks.rpc.sharing.counting import SharedCounting
from noteflow_hooks.rpc.sharing.memory import SharedMemory
from noteflow_hooks.rpc.sharing.siblings import Siblings

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks
    from noteflow_hooks.rpc.sharing.membership import Membership


class Group:
    """The group as one of its servers knows it."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._memory = SharedMemory(membership.memory, count=membership.count)
        self._siblings: Siblings | None = None
        #: Which of the servers this one is, from 1 on.
        self.number = membership.number
        #: Where the group's figures are counted, as a file descriptor.
        self.figures = membership.figures
        self.counting = SharedCounting(self._memory, number=membership.number)

    def siblings(self, tasks: OwnedTasks) -> Siblings:
        """Return the way to the other servers. Call it once."""
        self._siblings = Siblings(self._membership, self._memory, tasks)
        return self._siblings

    def serve(self) -> None:
        """Let the others know that this server serves, and answers them."""
        self._memory.pids[self.number - 1] = os.getpid()

    def close(self) -> None:
        """Answer the others no more. The memory stays: calls that are just ending are counted down in it."""
        self._memory.pids[self.number - 1] = 0
        if self._siblings is not None:
            self._siblings.close()
