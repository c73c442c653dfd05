"""Groups of commands that name what is allowed when they are given something else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import CompletionItem

from noteflow_hooks.cli.support.helping import HelpingGroup

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommandGroup(HelpingGroup):
    """A group whose error for an unknown command lists the known ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which there are."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            self._refuse(ctx, error.command_name)

    def _refuse(self, ctx: click.Context, name: str) -> NoReturn:
        allowed = ", ".join(self.list_commands(ctx))
        raise click.UsageError(f"no command {name!r}; there are: {allowed}", ctx)


class LazyGroup(CommandGroup):
    """A group that imports a command's module when the command is called.

    Args:
        modules: Where each command is: a module, which has it under the command's own name.
        summaries: What help says of each.
        settings: What :class:`click.Group` takes.
    """

    def __init__(self, *, modules: Mapping[str, str], summaries: Mapping[str, str], **settings: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(**settings)
        self._modules = modules
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order in which help lists them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command; None where there is none of the name."""
        if cmd_name not in self._modules:
            return None
        command = getattr(importlib.import_module(self._modules[cmd_name]), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._modules[cmd_name]}.{cmd_name} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text) for name, text in self._summaries.items() if name.startswith(incomplete)
        ]
