"""A behaviour of a hostile endpoint, by its id in the list of faults, and what must come of an attempt at it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.attempts import TIMED_OUT, ErrorKind

if TYPE_CHECKING:
    from tests.support.receiver_connection import Behaviour

OK: Final = b"HTTP/1.1 200 OK\r\n"
EMPTY_OK: Final = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED_OK: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
#: A connection that ends without a word, or with an RST.
LOST: Final = "Connection closed without a response"
RESET: Final = "Connection reset by peer"


class ExpectedOutcome(NamedTuple):
    """What is on record of an attempt."""

    status: int | None
    kind: ErrorKind | None
    message: str | None

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"{self.kind}: {self.message}" if self.kind else f"delivered, {self.status}"


@dataclass(frozen=True)
class HostileCase:
    """A behaviour and the outcomes that it may have, of which there is one but where the network decides."""

    behaviour: Behaviour
    outcomes: tuple[ExpectedOutcome, ...]
    #: Whether it only ends at the attempt's deadline.
    is_drawn_out: bool = False
    #: Whether it makes no sense without TLS.
    needs_tls: bool = False
    #: What is kept of the body, where the case is about that.
    body: str | None = None
    #: The shortest and the longest wait that the answer asks for, in seconds; None where it asks for none.
    wait_s: tuple[float, float] | None = None

    @property
    def kinds(self) -> tuple[ErrorKind | None, ...]:
        """The kinds of its outcomes; None is success."""
        return tuple(each.kind for each in self.outcomes)

    def speaks(self, scheme: str) -> bool:
        """Tell whether it makes sense over http or https."""
        return scheme == "https" or not self.needs_tls

    def drawn_out(self) -> HostileCase:
        """Return the same, of a behaviour that goes on until the deadline."""
        return replace(self, is_drawn_out=True)

    def over_tls(self) -> HostileCase:
        """Return the same, of a behaviour that needs TLS."""
        return replace(self, needs_tls=True)

    def keeping(self, body: str) -> HostileCase:
        """Return the same, of which this body must be on record."""
        return replace(self, body=body)


def delivered(behaviour: Behaviour, status: int = 200) -> HostileCase:
    """Expect a delivery with that status."""
    return HostileCase(behaviour, (ExpectedOutcome(status, None, None),))


def timeout(behaviour: Behaviour) -> HostileCase:
    """Expect no answer before the attempt ends."""
    return HostileCase(behaviour, (ExpectedOutcome(None, ErrorKind.TIMEOUT, TIMED_OUT),), is_drawn_out=True)


def malformed(behaviour: Behaviour, problem: str) -> HostileCase:
    """Expect an answer that is not HTTP, for that reason."""
    return HostileCase(behaviour, (ExpectedOutcome(None, ErrorKind.PROTOCOL, f"Invalid HTTP response: {problem}"),))


def refused(behaviour: Behaviour, status: int, kind: ErrorKind = ErrorKind.STATUS) -> HostileCase:
    """Expect that status on record as a failure."""
    return HostileCase(behaviour, (ExpectedOutcome(status, kind, f"HTTP {status}"),))


def redirected(behaviour: Behaviour, status: int = 302) -> HostileCase:
    """Expect a redirect, which nobody follows."""
    return refused(behaviour, status, ErrorKind.REDIRECT)


def lost(behaviour: Behaviour, *messages: str) -> HostileCase:
    """Expect no answer, said in one of these ways."""
    return HostileCase(behaviour, tuple(ExpectedOutcome(None, ErrorKind.CONNECT, each) for each in messages))


def path_of(name: str) -> str:
    """Return where a case is served: ``E2 trickles a head`` at ``/e02-trickles-a-head``."""
    fault, words = fault_of(name), name.partition(" ")[2]
    return f"/e{int(fault[1:]):02}-{re.sub('[^a-z0-9]+', '-', words.lower()).strip('-')}"


def fault_of(name: str) -> str:
    """Return a case's id in the list of faults."""
    return name.partition(" ")[0]
