"""A page of docs/ as tests read it: its sections, and the commands in their blocks."""

from __future__ import annotations

import re
import shlex
from typing import Final

import click

from tests.quality.sources import ROOT

#: A block of commands is marked so; what merely shows something is not.
_BLOCK: Final = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A line, or one with a document behind it.
_LINE: Final = re.compile(r"^.*<<'?(\w+)'?\n(?:.*\n)*?\1$|^.+$", re.MULTILINE)
_OURS: Final = "noteflow-hooks "


class Page:
    """One of them, by its name without ``.md``."""

    def __init__(self, name: str) -> None:
        self._text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")

    def sections(self, *, level: int = 2) -> dict[str, str]:
        """Return the text of each section of that level, by its heading; a section ends at one of no deeper level."""
        parts = re.split(rf"^(#{{2,{level}}}) (.+)$", self._text, flags=re.MULTILINE)[1:]
        found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        return {heading: text for marks, heading, text in found if len(marks) == level}

    def opening(self, heading: str) -> str:
        """Return what stands in a section of the second level before its first one of the third."""
        return self.sections()[heading].partition("\n### ")[0]

    def commands(self) -> list[list[str]]:
        """Return the command lines of ours in all blocks, each once and without the program's name."""
        ours = {line for line in lines(self._text) if line.startswith(_OURS) and not set(line) & set("|>`$")}
        return [shlex.split(line)[1:] for line in sorted(ours)]


def understood(command: click.Command, words: list[str]) -> None:
    """Parse a command line as click does, down to its last command, and run nothing; raise what click raises."""
    context = command.make_context("noteflow-hooks", list(words))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]  # noqa: SLF001 - where click keeps a group's rest
        _, inner, after = command.resolve_command(context, rest)
        if inner is None:
            raise click.UsageError(f"no command {rest}")
        understood(inner, after)


def lines(text: str) -> list[str]:
    """Return the command lines of a text's blocks, without comments.

    One that goes on after a backslash, or has a document, is one line.
    """
    return [line for block in _BLOCK.findall(text) for line in command_lines(block)]


def command_lines(block: str) -> list[str]:
    """Return the command lines of one block, as above."""
    whole = re.sub(r"\\\n\s*", "", block)
    return [re.sub(r"\s+# .*$", "", each.group()).strip() for each in _LINE.finditer(whole)]
