"""What the domain asks of whoever evaluates filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from noteflow_hooks.domain.filters import Verdict


class FilterEvaluator(Protocol):
    """Evaluates expressions of CEL over an event's ``type`` and ``data``, its payload."""

    def check(self, text: str) -> None:
        """Raise InvalidInputError, of ``filter``, for what is no filter or may cost too much.

        Raise FiltersMissingError, which says what to install, where nothing is there to check by.
        """
        ...

    def evaluate(self, text: str, *, event_type: str, payload: bytes) -> Verdict:
        """Return what the filter says of an event. Nothing in filter or payload makes it raise."""
        ...
