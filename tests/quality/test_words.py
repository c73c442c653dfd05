"""One word, one meaning: no name of ours is a word that ``docs/glossary.md`` lists under *No longer used*.

The table says how it is read: a word is a whole name, and the last column has the files and folders where it may stand.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.quality.sources import ROOT, Source, check_none, modules, project, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

GLOSSARY: Final = ROOT / "docs" / "glossary.md"
_HEADING: Final = "## No longer used"
_COLUMNS: Final = ["word", "instead", "where it may still stand"]
_NAME: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Word:
    """A word that is no longer used, and the files and folders (with a slash) where it may stand."""

    name: str
    places: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        """Tell whether a name is this word: a class's as it is written, any other without regard to capitals."""
        bare = name.lstrip("_")
        return bare == self.name if self.name != self.name.lower() else bare.lower() == self.name

    def may_stand_in(self, path: str) -> bool:
        """Tell whether the word means something else there."""
        return any(path == place or (place.endswith("/") and path.startswith(place)) for place in self.places)


def no_longer_used(page: str) -> list[Word]:
    """Read the table below that heading; it fails where there is none, or one with other columns."""
    assert _HEADING in page, f"no heading {_HEADING!r}"
    lines = page.partition(_HEADING)[2].partition("\n## ")[0].splitlines()
    head, _, *rows = [_cells(line) for line in lines if line.startswith("|")] or [[], []]
    assert head == _COLUMNS, f"columns {head}"
    return [_word(*row) for row in rows]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _word(word: str, _: str, places: str) -> Word:
    [name] = _NAME.findall(word)
    return Word(name, tuple(place for place in _NAME.findall(places) if "/" in place))


def misused(sources: Iterable[Source], words: Iterable[Word]) -> Iterator[str]:
    """Yield each name that is given in these files and is such a word in a place where it may not stand."""
    listed = list(words)
    for source in sources:
        for line, name in names_given(source):
            if any(word.matches(name) and not word.may_stand_in(source.path) for word in listed):
                yield f"{source.path}:{line} {name}"


def names_given(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of all that a file gives a name to; what it only uses is named elsewhere."""
    yield from ((1, part) for part in source.module.split("."))
    for node in source.nodes:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                yield from ((node.lineno, alias.asname) for alias in aliases if alias.asname)
            case _:
                pass


def test_no_name_is_a_word_that_is_no_longer_used() -> None:
    """Neither in what runs nor in what tests it."""
    check_none(misused(project(), no_longer_used(GLOSSARY.read_text("utf-8"))))


def test_the_places_that_the_glossary_names_are_there() -> None:
    """One that has moved would excuse nothing."""
    places = {place for word in no_longer_used(GLOSSARY.read_text("utf-8")) for place in word.places}
    assert {place for place in places if not (ROOT / place).exists()} == set()


_PAGE: Final = """# Glossary

## No longer used

What stands here is exact.

| word | instead | where it may still stand |
|---|---|---|
| `Hinter` | `BackgroundSender` | |
| `held` | `throttled` | column `held` in `app/sql/` and `app/rows.py` |

## Another table

| word | instead |
|---|---|
| `row` | `line` |
"""


def test_the_table_is_read_as_it_says() -> None:
    """What stands in its last column without a slash is said to the reader alone."""
    assert no_longer_used(_PAGE) == [Word("Hinter"), Word("held", ("app/sql/", "app/rows.py"))]


def test_a_name_that_is_no_longer_used_is_found(tmp_path: Path) -> None:
    """Wherever a name is given: to a class, a function, an argument, a variable, a field, an error, a module."""
    text = """\
class _Hinter: ...
class Row:
    held: bool
def _held(*, held): ...
HELD = 1
self.held = 2
for held in (): ...
import os as held
try: ...
except ValueError as held: ...
"""
    root = write(tmp_path, app__names=text, app__held="")
    lines = [found.partition(" ")[0] for found in misused(modules(root), no_longer_used(_PAGE))]
    assert sorted(lines) == sorted(
        ["app/held.py:1", *(f"app/names.py:{line}" for line in (1, 3, 4, 4, 5, 6, 7, 8, 10))],
    )


def test_what_only_looks_like_the_word_is_not_found(tmp_path: Path) -> None:
    """A longer name, a class written otherwise, a use of what somebody else has named, and what is only said."""
    text = 'def claims_held_by(): ...\nhinter = row.held\ncall(held=1)\nprint("held")  # held\n'
    root = write(tmp_path, app__names=text, app__sql__rows="held = 1\n", app__rows="held = 1\n")
    assert list(misused(modules(root), no_longer_used(_PAGE))) == []
