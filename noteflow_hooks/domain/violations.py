"""Collects everything that is wrong with an input, so that a caller can correct it all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

#: The most violations that are reported, so that a message with 5,000 bad segments gets no answer with thousands.
_MOST = 20


class Violations:
    """The violations of one input."""

    def __init__(self) -> None:
        self._refused: list[InvalidInputError] = []

    def take(self, check: Callable[[], T], default: T, *, within: str = "") -> T:
        """Return what the check returns; if it raises, keep the error and return the default."""
        try:
            return check()
        except InvalidInputError as error:
            if len(self._refused) < _MOST:
                self._refused.append(error.within(within) if within else error)
            return default

    def raise_all(self) -> None:
        """Raise one error that names all violations, if there are any."""
        if self._refused:
            raise InvalidInputError.of_all(self._refused)


@overload
def check_all(first: Callable[[], A], second: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def check_all(first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], /) -> tuple[A, B, C]: ...
@overload
def check_all(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], fourth: Callable[[], T], /
) -> tuple[A, B, C, T]: ...
@overload
def check_all(
    first: Callable[[], A],
    second: Callable[[], B],
    third: Callable[[], C],
    fourth: Callable[[], T],
    fifth: Callable[[], D],
    /,
) -> tuple[A, B, C, T, D]: ...
def check_all(*checks: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what the checks return; if any raise, raise one error that names all their violations."""
    found = Violations()
    results = tuple(found.take(check, None) for check in checks)
    found.raise_all()
    return results
