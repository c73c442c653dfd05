"""Of what is drawn by chance, a part in each run of the checks and the rest in the long runs of `make chaos`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _pytest.mark import ParameterSet


def first_of(values: Iterable[object], count: int) -> list[ParameterSet]:
    """Return parameters of a test; all after the first ``count`` are for the long runs alone."""
    return [
        pytest.param(each, marks=[] if number < count else [pytest.mark.chaos]) for number, each in enumerate(values)
    ]
