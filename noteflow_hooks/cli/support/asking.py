"""A question before what can't be undone, where somebody is there to answer it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from noteflow_hooks.cli.support.screen import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def yes_option(command: Decorated) -> Decorated:
    """Add ``--yes``."""
    return click.option("--yes", is_flag=True, help="Don't ask first. Where there is no terminal, nobody is asked.")(
        command
    )


def ask(question: str, *, yes: bool) -> None:
    """Ask on a terminal whether to go on, and end the command where the answer is no."""
    if yes or not _somebody_is_there():
        return
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was changed")


def _somebody_is_there() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)
