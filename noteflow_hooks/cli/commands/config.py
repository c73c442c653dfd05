"""`config`: what is set, and from where, with secrets hidden; and whether programs would start with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click

from noteflow_hooks.cli.support.configuration import REQUIRED, problems, settings_shown
from noteflow_hooks.cli.support.failures import DONE, FAILED
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.options import as_json
from noteflow_hooks.cli.support.output import show_json, show_rows
from noteflow_hooks.settings import unknown_variables

_COLUMNS: Final = ("setting", "value", "source")


@click.group(cls=CommandGroup)
@example("config show", "config check --for worker")
def config() -> None:
    """See what is set and from where, and check it before anything starts."""


@config.command()
@example("config show", "config show --set", "config show --json")
@click.option("--set", "only_set", is_flag=True, help="Only what the environment or .env sets.")
@as_json
def show(*, only_set: bool, as_json: bool) -> None:
    """List the settings: each value, and whether it comes from the environment, from .env, or is the default.

    A value that is a secret, or may hold one, is hidden; of a URL its host is shown. What a value may hold is not
    looked at here: `config check` does that.
    """
    found = [each for each in settings_shown() if not only_set or each.source != "default"]
    show_rows([asdict(each) for each in found], columns=_COLUMNS, as_json=as_json)


@config.command()
@example("config check", "config check --for dashboard")
@click.option(
    "--for",
    "program",
    type=click.Choice(list(REQUIRED)),
    default="all",
    show_default=True,
    help="Which program is to start with it: beat and dashboard need less than the others.",
)
@as_json
def check(*, program: str, as_json: bool) -> int:
    """Say all that is wrong with the settings at once, a line each; nothing is connected to.

    It exits with 0 where a program would start, and with 1 where it would not. A name that is no setting is a warning.
    """
    wrong, slips = problems(program), unknown_variables()
    if as_json:
        show_json(
            [{"state": "failed", "problem": each} for each in wrong]
            + [{"state": "warning", "problem": each} for each in slips]
        )
    else:
        for each in slips:
            click.echo(f"noteflow-hooks: warning: {each}", err=True)
        for each in wrong:
            click.echo(f"noteflow-hooks: {each}", err=True)
        if not wrong:
            click.echo("the settings are good")
    return FAILED if wrong else DONE
