"""The project's files, as the tests of this folder read them: any root will do, so that a rule can be seen to fail."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The project's root.
ROOT: Final = Path(__file__).parents[2]
#: What builds leave behind; folders with a dot before their name (`.git`, `.venv`) are left out too.
_BUILT: Final = frozenset({"__pycache__", "build", "dist", "htmlcov"})
#: Where a folder ends in the names that :func:`write` is given.
_FOLDER: Final = re.compile(r"(?<=[a-z])__(?=[a-z]|__init__)")


#: Pages of the root that scripts/site.py copies in, for the site alone.
COPIES: Final = frozenset({"docs/changelog.md", "docs/contributing.md", "docs/kit-files.md"})


@dataclass(frozen=True)
class Source:
    """A file, known by its path from the root, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The module that it holds."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the module."""
        return list(ast.walk(self.tree))

    @property
    def is_generated(self) -> bool:
        """Whether a program has written it."""
        return "_pb2" in self.path or self.path.startswith("docs/reference/") or self.path in COPIES

    @property
    def is_applied_migration(self) -> bool:
        """Whether databases exist that it was run on, so that it stays as it is."""
        return self.path.startswith("migrations/versions/")

    @property
    def module(self) -> str:
        """Its name as a module; a package's is that of its folder."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def paths(root: Path) -> Iterator[str]:
    """Yield the paths of all files, in order."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name not in _BUILT and not name.startswith("."))
        yield from (Path(folder, name).relative_to(root).as_posix() for name in sorted(names))


def read(root: Path, *suffixes: str) -> list[Source]:
    """Return the files whose names end so."""
    return [Source(path, Path(root, path).read_text("utf-8")) for path in paths(root) if path.endswith(suffixes)]


def documents(root: Path) -> list[Source]:
    """Return the pages that tell how things are: the changelog, which tells how they were, is none of them."""
    return [
        page
        for page in read(root, ".md")
        if page.path in ("README.md", "CONTRIBUTING.md") or (page.path.startswith("docs/") and page.path not in COPIES)
    ]


def modules(root: Path) -> list[Source]:
    """Return what is written in Python, by hand."""
    return [source for source in read(root, ".py") if not source.is_generated]


@cache
def project() -> list[Source]:
    """Return the project's own modules, read once."""
    return modules(ROOT)


def write(root: Path, **texts: str) -> Path:
    """Make files for a rule to look at: ``a__b="x"`` makes ``a/b.py``; return the root."""
    for name, text in texts.items():
        path = Path(root, *_FOLDER.split(name)).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def check_none(found: Iterable[str]) -> None:
    """Fail where anything was found, with a line for each."""
    lines = list(found)
    assert not lines, "\n".join(lines)
