"""Everything that is wrong with an input, told at once: a caller mends it in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: So many are told; a message of 5,000 bad segments gets no answer of thousands.
_MOST = 20


class Violations:
    """What the checks of one input refuse."""

    def __init__(self) -> None:
        self._refused: list[InvalidInputError] = []

    def take(self, check: Callable[[], T], default: T, *, within: str = "") -> T:
        """Return what the check returns; where it refuses, the default, and the refusal is kept beside the others."""
        try:
            return check()
        except InvalidInputError as error:
            if len(self._refused) < _MOST:
                self._refused.append(error.within(within) if within else error)
            return default

    def raise_all(self) -> None:
        """Raise one error that says all of them, where there is any."""
        if self._refused:
            raise InvalidInputError.of_all(self._refused)
