"""`bench`: its options, and what becomes of what it finds."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noteflow_hooks.bench import plots
from noteflow_hooks.bench.machine import machine, versions
from noteflow_hooks.bench.record import Record
from noteflow_hooks.bench.results import Results
from noteflow_hooks.bench.rounds import play
from noteflow_hooks.bench.scenarios import ALL, chosen, names
from noteflow_hooks.bench.stage import WORKERS, WORKSPACES, open_stage
from noteflow_hooks.cli.demo.places import demo_folder
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.interruption import Interruption
from noteflow_hooks.cli.support.options import FiniteRange, as_json
from noteflow_hooks.cli.support.output import iso, show_rows
from noteflow_hooks.local.stack import forget_foreign_variables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.scenario import Scenario


@click.command(cls=Command)
@example("bench --only http --rounds 3")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="How often to measure each.")
@click.option(
    "--only",
    metavar="NAME",
    type=click.Choice(names()),
    multiple=True,
    help="Only this one, or this group; may be repeated.",
)
@click.option("--full", is_flag=True, help="With those too that take minutes each.")
@click.option("--scale", type=FiniteRange(0.001, 10), default=1.0, show_default=True, help="Multiplies every count.")
@click.option(
    "--output", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), help="Where to write files."
)
@click.option("--list", "listed", is_flag=True, help="Name the scenarios and end.")
@as_json
def bench(
    *,
    rounds: int,
    only: tuple[str, ...],
    full: bool,
    scale: float,
    output: Path | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Measure the whole system against a bare loop and the obvious Celery app, on servers of its own, in ratios.

    It takes about ten minutes. FOLDER gets bench.json with every value, table.md, and plots. Whether the bounds are met
    is in the table, and not in the exit code.
    """
    if listed:
        show_rows(
            [{"name": each.name, "title": each.title} for each in ALL], columns=("name", "title"), as_json=as_json
        )
        return
    logging.basicConfig(level=logging.WARNING, format="noteflow-hooks: %(message)s")
    forget_foreign_variables()
    if output is not None:
        _prepare(output)
    results = _run(chosen(only, full=full), rounds=rounds, scale=scale)
    if output is not None:
        results.write(output)
    results.show(as_json=as_json)


def _prepare(output: Path) -> None:
    """Make the folder now: nobody wants to hear after ten minutes that it can't be made."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"--output is '{output}', which can't be made: {error.strerror}") from None
    if not plots.can_draw():
        _say(plots.NO_PYGAL)


def _run(scenarios: Sequence[Scenario], *, rounds: int, scale: float) -> Results:
    record = Record()
    with Interruption() as interruption, demo_folder() as folder:
        _say("starting PostgreSQL, Valkey, a gRPC server, Celery workers and beat ...")
        with open_stage(folder, scale=scale, check=interruption.check) as stage:
            settings = {"rounds": rounds, "scale": scale, "workers": WORKERS, "workspaces": WORKSPACES}
            about = {
                "date": iso(datetime.now(UTC).replace(microsecond=0)),
                "machine": machine(),
                "versions": versions(stage),
                "settings": settings,
            }
            play(stage, scenarios, rounds=rounds, record=record, say=_say)
    return Results(about, scenarios, record)


def _say(line: str) -> None:
    """Say how far it has come, where it is no part of the result."""
    click.echo(line, err=True)
