"""No import goes in a circle: not among modules, and not among the rooms that they stand in, at any depth.

import-linter keeps this for the packages; here it is kept for the tests, the scripts and the migrations as well.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from typing import TYPE_CHECKING

from tests.quality.sources import ROOT, Source, modules, project, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def imports(sources: Iterable[Source]) -> dict[str, set[str]]:
    """Return what each module imports of the others, for its types alone or not."""
    known = {source.module: source for source in sources}
    return {name: {found for found in _imported(source, set(known)) if found != name} for name, source in known.items()}


def _imported(source: Source, known: set[str]) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parent = _absolute(node, source)
            for alias in node.names:
                whole = f"{parent}.{alias.name}"
                yield from [whole] if whole in known else [parent] if parent in known else []


def _absolute(node: ast.ImportFrom, source: Source) -> str:
    """Return the name of the module that is imported from, also where it is told from here."""
    if not node.level:
        return node.module or ""
    here = source.path.removesuffix(".py").split("/")[: -node.level]
    return ".".join([*here, *([node.module] if node.module else [])])


def cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Yield a circle of every room in which there is one, each as it is gone through."""
    rooms: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for importer, imported in graph.items():
        for each in imported:
            room, one, other = _siblings(importer.split("."), each.split("."))
            if one != other:
                rooms[room][one].add(other)
    for room, siblings in sorted(rooms.items()):
        try:
            TopologicalSorter(siblings).prepare()
        except CycleError as error:
            yield f"{room or 'the root'}: {' <- '.join(error.args[1])}"


def _siblings(importer: list[str], imported: list[str]) -> tuple[str, str, str]:
    """Return the innermost room that holds both, and where in it each of them stands.

    A package's own module stands in the package beside what else is there, as ``__init__``.
    """
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(importer, imported, strict=False))))
    one, other = ((each[shared:] or ["__init__"])[0] for each in (importer, imported))
    return ".".join(importer[:shared]), one, other


def test_no_import_goes_in_a_circle() -> None:
    """Whether it is made at run time or for types alone."""
    assert list(cycles(imports(project()))) == []


def test_import_linter_keeps_it_for_both_packages() -> None:
    """With the contract that is made for it, to whatever depth it looks."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [kept] = [contract for contract in contracts if contract["type"] == "acyclic_siblings"]
    assert set(kept["ancestors"]) == {"noteflow_hooks", "workers"}
    assert not kept.keys() & {"depth", "skip_descendants", "ignore_imports"}


def test_a_circle_of_modules_is_found(tmp_path: Path) -> None:
    """Also one by a relative import, or within a function."""
    write(tmp_path, a__one="from a import two\n", a__two="def f():\n    from . import three\n")
    write(tmp_path, a__three="import a.one\n")
    [found] = cycles(imports(modules(tmp_path)))
    assert found.startswith("a: ")
    assert set(found.removeprefix("a: ").split(" <- ")) == {"one", "two", "three"}


def test_a_circle_of_rooms_is_found(tmp_path: Path) -> None:
    """Although no module of it is in one."""
    write(tmp_path, p__a__one="import p.b.one\n", p__a__two="", p__b__one="", p__b__two="from p.a import two\n")
    [found] = cycles(imports(modules(tmp_path)))
    assert found in {"p: a <- b <- a", "p: b <- a <- b"}


def test_a_circle_through_a_package_itself_is_found(tmp_path: Path) -> None:
    """A package that imports its module must not be imported by it."""
    write(tmp_path, p____init__="from p.one import x\n", p__one="from p import y\n")
    assert len(list(cycles(imports(modules(tmp_path))))) == 1


def test_imports_that_lead_one_way_are_fine(tmp_path: Path) -> None:
    """However many there are."""
    write(tmp_path, p____init__="", p__a="from p import b, c\n", p__b="from p.c import x\n", p__c="import os\n")
    assert list(cycles(imports(modules(tmp_path)))) == []
