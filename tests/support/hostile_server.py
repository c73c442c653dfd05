"""Every behaviour of a hostile endpoint at a path of its own, over https and http, and every bad handshake at a port.

``python -m tests.support.hostile_server`` runs it until Ctrl-C, for a client of your own, and prints each address with
what comes of an attempt there.
"""
# ruff: noqa: T201 - what it prints is its output

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.support.hostile_cases.answers import ANSWERS
from tests.support.hostile_cases.bodies import BODIES
from tests.support.hostile_cases.case import HostileCase, path_of
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS
from tests.support.hostile_cases.heads import HEADS
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CASES: Final[dict[str, HostileCase]] = {**HEADS, **BODIES, **ANSWERS}


class HostileServer:
    """All of it; use it as a context manager."""

    def __init__(self) -> None:
        """Bind the ports."""
        self.secure = Receiver(tls=True)
        self.plain = Receiver()
        self._listeners = {name: listener.receiver() for name, listener in FAULTY_LISTENERS.items()}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for receiver in (self.secure, self.plain, *self._listeners.values()):
                stack.enter_context(receiver)
            self._stack = stack.pop_all()
        for name, case in CASES.items():
            self.secure.script(path_of(name), case.behaviour)
            self.plain.script(path_of(name), case.behaviour)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, name: str, *, scheme: str = "https") -> str:
        """Return the address of a case."""
        return (self.secure if scheme == "https" else self.plain).url(path_of(name), host="localhost")

    def listener(self, name: str) -> str:
        """Return the address of a listener with a fault."""
        return f"https://localhost:{self._listeners[name].port}{path_of(name)}"

    def lines(self) -> Iterator[str]:
        """Return a line for each address."""
        for name, case in CASES.items():
            yield f"{self.url(name)}  {name}: {' or '.join(map(str, case.outcomes))}"
        for name, listener in FAULTY_LISTENERS.items():
            yield f"{self.listener(name)}  {name}: {' or '.join(kind or 'delivered' for kind in listener.kinds)}"


def main() -> None:
    """Serve until interrupted."""
    with HostileServer() as server, contextlib.suppress(KeyboardInterrupt):
        print(f"Trust {server.secure.ca_pem}; the same paths over http are at {server.plain.url()}", flush=True)
        print(*server.lines(), sep="\n", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
