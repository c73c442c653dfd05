"""The embedded PostgreSQL and Valkey as parts of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey

if TYPE_CHECKING:
    from pathlib import Path

#: How long a restart may take, as everything else waits for it. A server that has crashed recovers first, which takes
#: many seconds on a busy disk; if it were stopped before that, it would begin anew each time.
_AGAIN_S: Final = 30.0
_TAIL_LINES: Final = 15


class DatabasePart:
    """An embedded server as a part of the system."""

    def __init__(self, name: str, server: EmbeddedPostgres | EmbeddedValkey, *, log_path: Path) -> None:
        #: What it is called in `up.json` and in messages.
        self.name = name
        self._server = server
        self._log_path = log_path

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._server.pid

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        return "ended"

    def start(self) -> None:
        """Start it again, with its data and under its address."""
        self._server.start(timeout_s=_AGAIN_S)

    def stop(self, *, patience_s: float) -> None:
        """End it, with so much time to write everything to disk. Even when time is up, nothing committed is lost."""
        self._server.stop(timeout_s=patience_s)

    def error(self, problem: str) -> EmbeddedServerError:
        """Return an error with the last lines of its log."""
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return EmbeddedServerError("\n  ".join([f"{self.name} {problem}; {self._log_path} ends:", *lines]))
