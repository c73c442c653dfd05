"""What a server of a group is handed down: its number, and open files that it shares with the others.

Nothing has a name in the file system: nobody else can reach it, and nothing is left behind however a process ends.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Self

from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.sharing.memory import create_memory
from noteflow_hooks.telemetry.memory import create_figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """One server's place in its group, as file descriptors that a child inherits."""

    #: From 1 to ``count``; whoever replaces a dead server gets its number.
    number: int
    count: int
    #: The shared memory.
    memory: int
    #: The memory in which the group's figures are counted; -1 where none are.
    figures: int
    #: Where this server reads what others send to it, and where it sends to each, in the order of their numbers.
    mailbox: int
    mailboxes: tuple[int, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All files that the server's process has to inherit."""
        figures = () if self.figures < 0 else (self.figures,)
        return (self.memory, *figures, self.mailbox, *self.mailboxes)

    def __str__(self) -> str:
        return ",".join(map(str, (self.number, self.count, self.memory, self.figures, self.mailbox, *self.mailboxes)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what :meth:`__str__` wrote; raise InvalidInputError for anything else."""
        try:
            number, count, memory, figures, mailbox, *mailboxes = map(int, text.split(","))
        except ValueError:
            raise InvalidInputError("--member", "is for the servers that `serve --processes` starts") from None
        return cls(
            number=number, count=count, memory=memory, figures=figures, mailbox=mailbox, mailboxes=tuple(mailboxes)
        )


class Memberships:
    """Makes and keeps what the servers of a group share, for as long as the group lives."""

    def __init__(self, count: int, *, measures: bool = False) -> None:
        """Make memory for so many servers, and where they are measured that of their figures too."""
        self.memory = create_memory(count)
        self.figures = create_figures(count) if measures else -1
        # One pair for each: the first socket is read by its owner alone, the second is sent to by all others.
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]

    def of(self, number: int) -> Membership:
        """Return what the server of that number is handed down."""
        return Membership(
            number=number,
            count=len(self._pairs),
            memory=self.memory,
            figures=self.figures,
            mailbox=self._pairs[number - 1][0].fileno(),
            mailboxes=tuple(sending.fileno() for _, sending in self._pairs),
        )

    def close(self) -> None:
        """Let go of it; what the servers have inherited is their own."""
        os.close(self.memory)
        if self.figures >= 0:
            os.close(self.figures)
        for each in (each for pair in self._pairs for each in pair):
            each.close()
