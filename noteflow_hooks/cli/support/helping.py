"""How help looks: what the command does, an example, its own options, and at the end how a server is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_EXAMPLES: Final = "noteflow_hooks_examples"
_SECTIONS: Final = "noteflow_hooks_sections"


class ConnectionOption(click.Option):
    """An option that says how a server is reached, and as whom; help lists those last."""


def example(*lines: str) -> Callable[[Decorated], Decorated]:
    """Add command lines to the help; each is written without the program's name."""

    def add(command: Decorated) -> Decorated:
        setattr(command, _EXAMPLES, lines)
        return command

    return add


def section(title: str, rows: Mapping[str, str]) -> Callable[[Decorated], Decorated]:
    """Add a list of terms and what they mean to the help."""

    def add(command: Decorated) -> Decorated:
        setattr(command, _SECTIONS, {**getattr(command, _SECTIONS, {}), title: rows})
        return command

    return add


def examples_of(command: click.Command) -> Sequence[str]:
    """Return a command's examples, without the program's name."""
    lines: Sequence[str] = getattr(command.callback, _EXAMPLES, ())
    return lines


def sections_of(command: click.Command) -> Mapping[str, Mapping[str, str]]:
    """Return the lists that a command's help has beside its options, by their titles."""
    sections: Mapping[str, Mapping[str, str]] = getattr(command.callback, _SECTIONS, {})
    return sections


class _Helping(click.Command):
    """What commands and groups have in common."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text, then examples, then the sections."""
        super().format_help_text(ctx, formatter)
        lines = examples_of(self)
        if lines:
            with formatter.section("Example" if len(lines) == 1 else "Examples"):
                write_whole(formatter, [f"{ctx.find_root().info_name} {line}" for line in lines])
        for title, rows in sections_of(self).items():
            with formatter.section(title):
                formatter.write_dl(list(rows.items()))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, a group's commands, and at last those of the connection."""
        self._write(ctx, formatter, "Options", connection=False)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        self._write(ctx, formatter, "Connection options", connection=True)

    def _write(self, ctx: click.Context, formatter: click.HelpFormatter, title: str, *, connection: bool) -> None:
        records = [
            record
            for each in self.get_params(ctx)
            if isinstance(each, click.Option) and isinstance(each, ConnectionOption) is connection
            if (record := each.get_help_record(ctx)) is not None
        ]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def write_whole(formatter: click.HelpFormatter, lines: Iterable[str]) -> None:
    """Write lines as they are: what is broken over lines can't be copied."""
    for line in lines:
        formatter.write(f"{' ' * formatter.current_indent}{line}\n")


class Command(_Helping):
    """A command with such help."""


class HelpingGroup(_Helping, click.Group):
    """A group with such help, and whose commands have it."""

    command_class = Command
