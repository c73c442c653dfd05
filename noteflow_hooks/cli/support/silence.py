"""Ends a stream that says nothing for too long: without heartbeats, its connection leads nowhere any more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from types import TracebackType


class Silence:
    """Watches over a call while its messages are read; raises UnavailableError where it had to be ended."""

    def __init__(self, call: Any, *, after_s: float) -> None:  # noqa: ANN401 - any stream's call
        """Cancel the call where nothing was :meth:`heard` for so long."""
        self._call = call
        self._after_s = after_s
        self._heard = threading.Event()
        self._is_over = False
        self._is_cut = False
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def heard(self) -> None:
        """Note that a message has come."""
        self._heard.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._heard.set()
        self._thread.join()
        if self._is_cut and isinstance(error, Exception):
            raise UnavailableError(f"the server has said nothing for {self._after_s:g} s") from None

    def _wait(self) -> None:
        while self._heard.wait(self._after_s):
            # In this order: what is set at the end is never taken for a message.
            self._heard.clear()
            if self._is_over:
                return
        self._is_cut = True
        self._call.cancel()
