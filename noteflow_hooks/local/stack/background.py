"""Runs calls in background threads, while the main thread waits and can break the wait off."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_POLL_S: Final = 0.02


def in_background(call: Callable[[], T]) -> Future[T]:
    """Run the call in a daemon thread, which does not keep the process from ending."""
    future: Future[T] = Future()

    def settle() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=settle, daemon=True).start()
    return future


def result_of(future: Future[T], *, check: Callable[[], None]) -> T:
    """Wait for the call's result, and call ``check`` meanwhile, which raises to break the wait off."""
    until(future.done, check=check)
    return future.result()


def until(ready: Callable[[], bool], *, check: Callable[[], None], timeout_s: float | None = None) -> bool:
    """Wait until ``ready`` and return True, or return False when time is up; ``check`` is as in :func:`result_of`."""
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    while not ready():
        check()
        if ends_at is not None and time.monotonic() >= ends_at:
            return False
        time.sleep(_POLL_S)
    return True
