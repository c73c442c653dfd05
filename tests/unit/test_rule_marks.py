"""Where SQL says again what the domain says, a mark names the rule, and a test holds the two against each other.

A mark is a comment beside the SQL, ``# rule of domain.deliveries.WebhookDelivery.is_due``. Its test, over the real
PostgreSQL and on generated rows, is one that ``@twin("domain.deliveries.WebhookDelivery.is_due")`` stands over.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^\s*#:? rule of (\S+)$", re.MULTILINE)


def marks() -> dict[str, list[str]]:
    """Return the files that bear a mark, by the rule."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "noteflow_hooks" / "persistence" / "sql").rglob("*.py")):
        for rule in _MARK.findall(path.read_text(encoding="utf-8")):
            found.setdefault(rule, []).append(path.name)
    return found


def twins() -> dict[str, list[str]]:
    """Return the tests that hold SQL against a rule, by the rule."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests" / "conformance").glob("test_twins_*.py")):
        for test in ast.parse(path.read_text(encoding="utf-8")).body:
            for rule in _rules(test):
                found.setdefault(rule, []).append(getattr(test, "name", ""))
    return found


def _rules(test: ast.stmt) -> list[str]:
    calls = [each for each in getattr(test, "decorator_list", []) if isinstance(each, ast.Call)]
    own = [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "twin"]
    return [str(each.value) for call in own for each in call.args if isinstance(each, ast.Constant)]


def test_each_rule_that_sql_says_again_has_a_test_that_holds_the_two_against_each_other() -> None:
    """Nobody else would see that one of them has changed."""
    assert len(marks()) > 20
    assert sorted(set(marks()) - set(twins())) == []


def test_each_such_test_has_its_mark_in_the_sql() -> None:
    """By it, whoever changes the SQL finds the rule."""
    assert sorted(set(twins()) - set(marks())) == []


def test_each_mark_names_what_is_there() -> None:
    """A rule that was renamed is renamed in its marks."""
    for rule in marks():
        assert _resolve(f"noteflow_hooks.{rule}") is not None, rule


def _resolve(dotted: str) -> object:
    parts = dotted.split(".")
    last = next(nth for nth in range(len(parts), 0, -1) if _is_module(parts[:nth]))
    found: object = import_module(".".join(parts[:last]))
    for name in parts[last:]:
        found = getattr(found, name)
    return found


def _is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
