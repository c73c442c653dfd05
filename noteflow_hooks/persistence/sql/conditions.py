"""Conditions on one column, as statements and CHECK constraints have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def one_of(column: str, words: Iterable[str]) -> str:
    """Return the condition that a column has one of these words."""
    return f"{column} IN ({', '.join(map(repr, map(str, words)))})"


def within(column: str, allowed: range | tuple[float, float]) -> str:
    """Return the condition that a column lies within bounds, both included."""
    return f"{column} BETWEEN {allowed[0]:g} AND {allowed[-1]:g}"
