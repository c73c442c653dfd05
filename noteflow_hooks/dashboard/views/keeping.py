"""What was answered a moment ago, for all who ask the same with the same token: pages ask again every two seconds."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from noteflow_hooks.dashboard.visit import Visit

Answer = TypeVar("Answer")

_MOST: Final = 2_000


class Kept(Generic[Answer]):
    """Answers by token and request, each for some seconds."""

    def __init__(self, fresh_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[tuple[bytes, bytes], tuple[float, Answer]] = {}

    def kept(self, visit: Visit, request: Message) -> Answer | None:
        """Return what is kept for that request; None where nothing is, or not any more."""
        with self._lock:
            until, answer = self._answers.get(_key(visit, request), (0.0, None))
        return answer if self._clock() < until else None

    def of(self, visit: Visit, request: Message, ask: Callable[[], Answer]) -> Answer:
        """Return what is kept for that request, or what ``ask`` returns now."""
        kept = self.kept(visit, request)
        if kept is not None:
            return kept
        answer, key = ask(), _key(visit, request)
        with self._lock:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[key] = self._clock() + self._fresh_s, answer
        return answer

    def forget(self, visit: Visit) -> None:
        """Keep nothing any more of what this token has asked for."""
        owner = _owner(visit)
        with self._lock:
            self._answers = {key: kept for key, kept in self._answers.items() if key[0] != owner}


def _owner(visit: Visit) -> bytes:
    return hashlib.sha256(visit.session.token.encode()).digest()


def _key(visit: Visit, request: Message) -> tuple[bytes, bytes]:
    return _owner(visit), request.SerializeToString(deterministic=True)
