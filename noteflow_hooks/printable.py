"""Makes text that others wrote fit to be shown: it stays on its line and steers no terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NOTHING: Final = "-"


def escape(text: str, *, keep: str = "") -> str:
    """Return the text with unprintable characters written as escapes, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _written(character) for character in text
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return the rows in columns as wide as their widest cell, two spaces apart."""
    lines = [list(heads), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(columns_of, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text + " " * (width - columns_of(text)) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def columns_of(text: str) -> int:
    """Return how many columns of a terminal the text takes: East Asian characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def shortened(text: str, width: int) -> str:
    """Return the text, cut with an ellipsis where it takes more than so many columns."""
    if columns_of(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return f"{kept}…"


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cell(value: object) -> str:
    """Return a value as one line of text, with a dash for nothing."""
    match value:
        case None | "" | []:
            return _NOTHING
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ",".join(map(cell, value))
        case dict():
            return ", ".join(f"{name} {cell(each)}" for name, each in value.items())
        case _:
            return escape(str(value))


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if character != "\x7f" else "\\x7f"
