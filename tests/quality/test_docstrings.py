"""What is public has its docstring: what ruff sees to in the package, and what it is not asked for in the tests."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.quality.sources import Source, check_none, modules, project, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

#: Where tests find what they share; ruff asks for no docstring anywhere in the tests.
_SHARED: Final = ("tests/support/", "tests/quality/sources.py")
#: A name of so many words is a sentence, which needs no other one below it.
_SENTENCE: Final = 4


def wordless_modules(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each module that does not open with a sentence; an empty file needs none."""
    for source in sources:
        if source.text.strip() and not _is_sentence(ast.get_docstring(source.tree)):
            yield source.path


def undocumented(sources: Iterable[Source]) -> Iterator[str]:
    """Yield what is public in a module and has no docstring; what overrides something has the other one's."""
    for source in sources:
        for name, node in _public(source.tree):
            if ast.get_docstring(node) is None and not _is_explained_elsewhere(node):
                yield f"{source.path}:{node.lineno} {name}"


def wordless_helpers(sources: Iterable[Source]) -> Iterator[str]:
    """Yield what tests share that has neither a docstring nor a sentence for a name."""
    return (found for found in undocumented(sources) if not _says_it(found.rpartition(".")[2].rpartition(" ")[2]))


def unexplained_tests(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each test that has neither a docstring nor a sentence for a name."""
    for source in sources:
        for node in source.tree.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            if ast.get_docstring(node) is None and not _says_it(node.name.removeprefix("test_")):
                yield f"{source.path}:{node.lineno} {node.name}"


def _says_it(name: str) -> bool:
    return len(name.split("_")) >= _SENTENCE


def _is_sentence(text: str | None) -> bool:
    return text is not None and " " in text and text.split("\n\n")[0].rstrip().endswith((".", ":", "?", "!"))


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[tuple[str, Definition]]:
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", inner) for name, inner in _public(node))


def _is_explained_elsewhere(node: Definition) -> bool:
    return any(ast.unparse(each).endswith(("override", "overload", ".setter")) for each in node.decorator_list)


def test_every_module_opens_with_what_it_is_for() -> None:
    """Tests and migrations too, of which ruff asks none."""
    check_none(wordless_modules(project()))


def test_what_is_public_is_explained() -> None:
    """In what runs, and in what is run by hand."""
    ours = ("noteflow_hooks/", "workers/", "scripts/")
    check_none(undocumented(source for source in project() if source.path.startswith(ours)))


def test_what_tests_share_is_explained() -> None:
    """Whoever writes the next one finds it there."""
    check_none(wordless_helpers(source for source in project() if source.path.startswith(_SHARED)))


def test_every_test_states_its_fact() -> None:
    """In its docstring, or in a name that is a whole sentence."""
    check_none(unexplained_tests(source for source in project() if source.path.startswith("tests/")))


def test_a_module_without_a_sentence_is_found(tmp_path: Path) -> None:
    """A word is none, and neither is a line that ends nowhere; an empty package marker needs none."""
    write(
        tmp_path, fine='"""What it is for."""\nx = 1\n', none="x = 1\n", word='"""Things."""\n', open='"""What it"""\n'
    )
    write(tmp_path, package____init__="")
    assert list(wordless_modules(modules(tmp_path))) == ["none.py", "open.py", "word.py"]


def test_a_public_name_without_a_docstring_is_found(tmp_path: Path) -> None:
    """Not a private one, and not one that implements what is explained elsewhere."""
    text = "class A:\n    def f(self): ...\n    def _g(self): ...\n    @override\n    def h(self): ...\ndef _k(): ...\n"
    assert list(undocumented(modules(write(tmp_path, a=text)))) == ["a.py:1 A", "a.py:2 A.f"]


def test_a_shared_helper_that_nothing_explains_is_found(tmp_path: Path) -> None:
    """A name that is a sentence explains itself."""
    text = "def poll(): ...\ndef wait_until_it_is_so(): ...\n"
    assert list(wordless_helpers(modules(write(tmp_path, a=text)))) == ["a.py:1 poll"]


def test_a_test_without_words_is_found(tmp_path: Path) -> None:
    """A docstring helps, and so does a name that is a sentence."""
    text = 'def test_it(): ...\ndef test_rows_nest():\n    """They do."""\ndef test_a_lost_row_is_found(): ...\n'
    assert list(unexplained_tests(modules(write(tmp_path, a=text)))) == ["a.py:1 test_it"]
