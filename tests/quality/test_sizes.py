"""No file over 400 lines and no function's body over 40, tests among them; what is generated has what length it has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tests.quality.sources import ROOT, Source, check_none, modules, project, read, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_LINES: Final = 400
MOST_IN_A_BODY: Final = 40
#: What people write and read.
_WRITTEN: Final = (".py", ".md", ".toml", ".yaml", ".html", ".css", ".js", ".sh")


def long_files(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each file that is too long, with its length; a migration that was applied stays as it is.

    The changelog has an entry for each change, however many there are.
    """
    for source in sources:
        length = source.text.count("\n")
        is_free = source.is_generated or source.is_applied_migration or source.path == "CHANGELOG.md"
        if length > MOST_LINES and not is_free:
            yield f"{source.path}: {length} lines"


def long_bodies(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each function whose body is too long, its docstring not counted."""
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not source.is_applied_migration:
                length = _body_lines(node)
                if length > MOST_IN_A_BODY:
                    yield f"{source.path}:{node.lineno} {node.name}: {length} lines"


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = 1 if ast.get_docstring(function) is not None and len(function.body) > 1 else 0
    return (function.body[-1].end_lineno or 0) - function.body[first].lineno + 1


def test_no_file_is_over_400_lines() -> None:
    """One that is has two subjects."""
    check_none(long_files(read(ROOT, *_WRITTEN)))


def test_no_body_is_over_40_lines() -> None:
    """One that is does two things."""
    check_none(long_bodies(project()))


def test_a_file_of_401_lines_is_found(tmp_path: Path) -> None:
    """One of 400 is not, nor is one that was generated or is an applied migration."""
    write(tmp_path, fits="x = 1\n" * 400, over="x = 1\n" * 401, made_pb2="x = 1\n" * 401)
    write(tmp_path, migrations__versions__one="x = 1\n" * 401)
    assert list(long_files(read(tmp_path, ".py"))) == ["over.py: 401 lines"]


def test_a_body_of_41_lines_is_found_and_a_docstring_not_counted(tmp_path: Path) -> None:
    """Also where it is a method or stands in another function."""
    said = '    """A first line.\n\n    A second one.\n    """\n'
    body = "    x = 1\n"
    write(tmp_path, fits=f"def f():\n{said}{body * 40}", over=f"def f():\n{said}{body * 41}")
    write(tmp_path, method=f"class A:\n    async def g(self):\n{body.replace('    ', '        ') * 41}")
    assert list(long_bodies(modules(tmp_path))) == ["method.py:2 g: 41 lines", "over.py:1 f: 41 lines"]
