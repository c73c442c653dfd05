"""Whoever silences a tool says why, on the same line: in the code, and in the tools' own settings."""

from __future__ import annotations

import re
import tokenize
from io import StringIO
from typing import TYPE_CHECKING, Final

from tests.quality.sources import ROOT, Source, check_none, modules, project, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: What silences ruff, mypy or coverage.
_IGNORE: Final = re.compile(r"#\s*(?:ruff: )?noqa\b|#\s*type:\s*ignore|#\s*pragma:\s*no (?:cover|branch)|#\s*mypy:")
#: An ignore names what it ignores, and its reason follows after a dash or in a comment of its own.
_REASONED: Final = (
    re.compile(r"noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* - \S.*"),
    re.compile(r"type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\]  # (?!noqa|type:|pragma:)\S.*"),
    re.compile(r"pragma: no (?:cover|branch) - \S.*"),
    re.compile(r"mypy: \S+ - \S.*"),
)
#: A rule's code in a list of `ruff.toml`, and what follows it.
_RULE: Final = re.compile(r'^\s*"([A-Z]+\d*)",(.*)$', re.MULTILINE)
#: The lists of rules that are not looked for: `ignore = [...]`, and those of some files alone.
_LISTS: Final = re.compile(r'^(?:ignore|"[^"]+") = \[\n(.*?)^\]', re.MULTILINE | re.DOTALL)


def unreasoned(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each comment that silences a tool and does not say what and why."""
    for source in sources:
        if _IGNORE.search(source.text) is None:
            continue
        for token in tokenize.generate_tokens(StringIO(source.text).readline):
            if token.type == tokenize.COMMENT and not _are_reasoned(token.string):
                yield f"{source.path}:{token.start[0]} {token.string}"


def _are_reasoned(comment: str) -> bool:
    """Tell whether each ignore in a comment has its reason; where there are two, one reason may do for both."""
    ignores = [comment[found.start() :] for found in _IGNORE.finditer(comment)]
    return not ignores or any(reasoned.search(ignores[-1]) for reasoned in _REASONED)


def unreasoned_rules(settings: str) -> Iterator[str]:
    """Yield each rule of ruff that is not looked for and has no reason beside it."""
    for found in _LISTS.finditer(settings):
        yield from (rule for rule, rest in _RULE.findall(found[1]) if not re.match(r"\s+# \S", rest))


def test_every_ignore_says_what_and_why() -> None:
    """Of ruff, mypy and coverage."""
    check_none(unreasoned(project()))


def test_every_rule_that_is_switched_off_says_why() -> None:
    """Everywhere or for some files."""
    check_none(unreasoned_rules((ROOT / "ruff.toml").read_text("utf-8")))


def test_an_ignore_without_a_reason_is_found(tmp_path: Path) -> None:
    """Also one that does not say what it ignores; what only speaks of ignores in a string is none."""
    fine = [
        "a = 1  # noqa: S101, S105 - it protects nothing",
        "b = 1  # type: ignore[misc]  # it is frozen",
        "c = 1  # type: ignore[misc]  # noqa: ANN001 - Celery's task",
        "d = 1  # pragma: no cover - another program",
        'e = "# noqa"',
    ]
    bare = ["a = 1  # noqa: S101", "b = 1  # noqa - why", "c = 1  # type: ignore[misc]", "d = 1  # pragma: no cover"]
    both = "e = 1  # type: ignore[misc]  # noqa: S101"
    root = write(tmp_path, fine="\n".join([*fine, ""]), bare="\n".join([*bare, both, ""]))
    assert [found.split()[0] for found in unreasoned(modules(root))] == [f"bare.py:{line}" for line in range(1, 6)]


def test_a_rule_that_is_switched_off_without_a_reason_is_found() -> None:
    """In either kind of list."""
    lists = 'ignore = [\n    "A1", # why\n    "B2",\n]\nselect = [\n    "C3",\n]\n"tests/**" = [\n    "D4",\n]\n'
    assert list(unreasoned_rules(lists)) == ["B2", "D4"]
