"""A run's output: tables on the terminal, and bench.json, table.md and plots in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from noteflow_hooks.bench import plots
from noteflow_hooks.bench.report import bounds_as_json, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from noteflow_hooks.bench.record import Record
    from noteflow_hooks.bench.report import Table
    from noteflow_hooks.bench.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Results:
    """A finished run."""

    #: The date, the machine, versions and settings.
    about: Mapping[str, Any]
    scenarios: Sequence[Scenario]
    record: Record

    def show(self, *, as_json: bool) -> None:
        """Print everything."""
        if as_json:
            click.echo(json.dumps(self._as_json(), indent=2))
        else:
            click.echo("\n\n".join(each.text() for each in self._tables()))

    def write(self, folder: Path) -> None:
        """Write the files into an existing folder."""
        text = json.dumps(self._as_json(), indent=2, ensure_ascii=False)
        (folder / "bench.json").write_text(f"{text}\n", encoding="utf-8")
        page = "\n\n".join([self._heading(), *(each.markdown() for each in self._tables())])
        (folder / "table.md").write_text(f"{page}\n", encoding="utf-8")
        if plots.can_draw():
            plots.draw(self.record, folder)

    def _tables(self) -> Sequence[Table]:
        return tables(self.scenarios, self.record)

    def _heading(self) -> str:
        machine, settings, versions = (self.about[name] for name in ("machine", "settings", "versions"))
        return (
            f"# Benchmark of {self.about['date']}\n\n"
            f"{machine['cores']} cores of {machine['cpu']}, {settings['workers']} worker processes,"
            f" {settings['rounds']} rounds at scale {settings['scale']:g};"
            f" {', '.join(f'{name} {number}' for name, number in versions.items())}."
        )

    def _as_json(self) -> dict[str, Any]:
        return {
            **self.about,
            "bounds": bounds_as_json(self.scenarios, self.record),
            "titles": {each.name: each.title for each in self.scenarios},
            "skipped": self.record.skipped,
            "values": self.record.as_json(),
        }
