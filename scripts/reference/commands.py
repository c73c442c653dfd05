"""The page of all commands, made of click's own: what each does, its examples, arguments and options."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.helping import ConnectionOption, examples_of, sections_of
from scripts.reference.markdown import anchor, block, code, page, table, words

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM: Final = "noteflow-hooks"
_LEAD: Final = """\
`noteflow-hooks COMMAND --help` says the same. The exit status is 0 for done, 1 for failed, 2 for wrong use, 130 for
interrupted, where a command says nothing else. How they name things, find the server and are completed is in
[The command line](../commands.md)."""
_CONNECTION: Final = "## Connection options"
_HELP: Final = ("--help", "-h")


@dataclass(frozen=True)
class Shown:
    """A command and where it stands."""

    path: tuple[str, ...]
    command: click.Command

    @property
    def context(self) -> click.Context:
        """What click asks for."""
        return click.Context(self.command, info_name=" ".join((PROGRAM, *self.path)))

    @property
    def options(self) -> list[click.Option]:
        """Its options, but for `--help`."""
        found = [each for each in self.command.get_params(self.context) if isinstance(each, click.Option)]
        return [each for each in found if not each.hidden and not set(each.opts) & set(_HELP)]


def generate() -> str:
    """Return the page."""
    found = list(commands())
    parts = [part for each in found for part in _section(each)]
    return page("Commands: all of them", "the commands", _LEAD, *_list(found), *parts, *_connection())


def commands() -> Iterator[Shown]:
    """Yield each command, a group before what is in it; the program itself first."""
    yield from _below(Shown((), root))


def _below(shown: Shown) -> Iterator[Shown]:
    yield shown
    if isinstance(shown.command, click.Group):
        for name in shown.command.list_commands(shown.context):
            command = shown.command.get_command(shown.context, name)
            if command is not None and not command.hidden:
                yield from _below(Shown((*shown.path, name), command))


def _list(found: list[Shown]) -> Iterator[list[str]]:
    rows = [[f"[`{' '.join(each.path)}`](#{anchor(_title(each))})", words(_first(each))] for each in found if each.path]
    yield table(("command", "what it does"), rows)


def _title(shown: Shown) -> str:
    return " ".join(shown.path) or PROGRAM


def _first(shown: Shown) -> str:
    text = inspect.cleandoc(shown.command.help or "").partition("\n\n")[0]
    return " ".join(text.split())


def _section(shown: Shown) -> Iterator[list[str]]:
    command = shown.command
    yield [f"## {_title(shown)}"]
    for text in inspect.cleandoc(command.help or "").split("\n\n"):
        yield [words(" ".join(text.replace("\b", "").split()))]
    yield block("text", " ".join((PROGRAM, *shown.path, *command.collect_usage_pieces(shown.context))))
    if examples := examples_of(command):
        yield block("bash", "\n".join(f"{PROGRAM} {line}" for line in examples))
    for title, rows in sections_of(command).items():
        yield [f"{title}:", "", *(f"- {code(name)}: {words(meaning)}" for name, meaning in rows.items())]
    own = [each for each in shown.options if not isinstance(each, ConnectionOption)]
    if own:
        yield [_option(each, shown.context) for each in own]
    if reaches := [code(each.opts[0]) for each in shown.options if isinstance(each, ConnectionOption)]:
        yield [f"And the [connection options](#connection-options) {', '.join(reaches)}."]


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    if record is None:
        raise ValueError(f"{option.name} has no help")
    names, meaning = record
    return f"- {code(names)}: {words(' '.join(meaning.split()))}"


def _connection() -> Iterator[list[str]]:
    yield [_CONNECTION]
    shown = Shown((), root)
    yield [_option(each, shown.context) for each in shown.options if isinstance(each, ConnectionOption)]
