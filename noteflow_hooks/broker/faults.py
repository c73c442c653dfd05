"""What Redis refuses, in one word for whoever counts."""

from __future__ import annotations

from typing import Final

from redis import exceptions

#: The first that fits counts: each is a kind of what stands below it.
_KINDS: Final = (
    (exceptions.AuthenticationError, "authentication"),
    (exceptions.NoPermissionError, "authentication"),
    (exceptions.ReadOnlyError, "read_only"),
    (exceptions.OutOfMemoryError, "memory"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "connection"),
    (OSError, "connection"),
)


def kind_of(error: BaseException) -> str:
    """Return what went wrong with a command, or with the way to Redis."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, word in _KINDS:
            if isinstance(cause, kind):
                return word
        # kombu puts an error of its own around redis-py's.
        cause = cause.__cause__
    return "other"
