"""All values of a run, by scenario, figure and round."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from noteflow_hooks.bench.scenario import Values


class Record:
    """Collects the values as the rounds are played."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[float]]] = {}
        #: Why a scenario was not played, by its name.
        self.skipped: dict[str, str] = {}

    def add(self, scenario: str, values: Values) -> None:
        """Add what a scenario found in one more round."""
        for figure, value in values.items():
            self._values.setdefault(scenario, {}).setdefault(figure, []).append(value)

    def rounds(self, scenario: str, figure: str) -> Sequence[float]:
        """Return a figure's values, the first round's first; none where it was not measured."""
        return self._values.get(scenario, {}).get(figure, [])

    def all(self) -> Iterator[tuple[str, str, Sequence[float]]]:
        """Yield each scenario and figure with its values."""
        for scenario, figures in self._values.items():
            for figure, values in figures.items():
                yield scenario, figure, values

    def as_json(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """Return everything, in types that JSON has."""
        return self._values
