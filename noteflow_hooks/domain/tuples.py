"""For the values that each delivery makes anew: a named tuple takes a tenth of the time of a frozen dataclass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple


def shown_without(value: NamedTuple, *hidden: str) -> str:
    """Return how a value is shown, without the fields that nobody is to read in a log."""
    fields = [f"{name}={each!r}" for name, each in value._asdict().items() if name not in hidden]
    return f"{type(value).__name__}({', '.join(fields)})"
