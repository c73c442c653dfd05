"""Tests wait for what they expect as long as it takes: no sleep, and no bound that a pause of the machine breaks.

Who waits polls with :func:`tests.support.waiting.until`; who bounds a time uses :mod:`tests.support.stopwatch`, which
leaves out what the machine itself stood still for.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tests.quality.sources import Source, check_none, modules, project, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Where a test sleeps all the same, and why.
MAY_SLEEP: Final = {
    "tests/integration/rpc/test_database.py": "a pause is what is awaited: the call under test takes that long",
    "tests/support/delaying_proxy.py": "a delay is what this proxy is for",
    "tests/integration/rpc/test_limits.py": "the server said how long to wait, and that it is enough is the fact",
}
_CLOCKS: Final = frozenset({"monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns"})


def sleeps(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each call that sleeps; one of no length only lets others go on."""
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.Call) and _sleeps(node):
                yield f"{source.path}:{node.lineno} {ast.unparse(node)}"


def _sleeps(call: ast.Call) -> bool:
    return ast.unparse(call.func) in {"time.sleep", "asyncio.sleep", "gevent.sleep", "sleep"} and not (
        call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    )


def timed(sources: Iterable[Source]) -> Iterator[str]:
    """Yield each assertion that what a clock says, or what a test has made of it, is below a fixed bound."""
    for source in sources:
        for function in source.nodes:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                read = _readings(function)
                for node in ast.walk(function):
                    if isinstance(node, ast.Assert) and _bounds(node, read):
                        yield f"{source.path}:{node.lineno} {ast.unparse(node)}"


def _readings(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names to which the function gives what a clock says."""
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return {ast.unparse(target) for node in assigned if _reads(node.value, set()) for target in node.targets}


def _reads(node: ast.AST, names: set[str]) -> bool:
    """Tell whether there is in it a clock's reading, or one of the names."""
    return any(
        (isinstance(each, ast.Call) and ast.unparse(each.func) in {f"time.{clock}" for clock in _CLOCKS})
        or (isinstance(each, ast.Name) and each.id in names)
        for each in ast.walk(node)
    )


def _bounds(node: ast.Assert, names: set[str]) -> bool:
    """Tell whether a reading must be below what is fixed: numbers, and names of constants."""
    for compared in (each for each in ast.walk(node.test) if isinstance(each, ast.Compare)):
        sides = [compared.left, *compared.comparators]
        for left, operator, right in zip(sides, compared.ops, sides[1:], strict=False):
            low, high = (right, left) if isinstance(operator, ast.Gt | ast.GtE) else (left, right)
            is_order = isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
            if is_order and _reads(low, names) and _is_fixed(high):
                return True
    return False


def _is_fixed(node: ast.AST) -> bool:
    return all(each.id.isupper() for each in ast.walk(node) if isinstance(each, ast.Name)) and not any(
        isinstance(each, ast.Call | ast.Attribute) for each in ast.walk(node)
    )


def _elsewhere(found: Iterable[str], excused: dict[str, str]) -> tuple[list[str], set[str]]:
    """Return what is not excused, and the excuses that nothing needs."""
    lines = list(found)
    return (
        [line for line in lines if line.partition(":")[0] not in excused],
        excused.keys() - {line.partition(":")[0] for line in lines},
    )


def _tests() -> Iterator[Source]:
    return (source for source in project() if source.path.startswith("tests/"))


def test_no_test_sleeps_for_its_result() -> None:
    """It would take too long on a good day, and not long enough on a bad one."""
    assert _elsewhere(sleeps(_tests()), MAY_SLEEP) == ([], set())


def test_no_test_asserts_on_a_clock() -> None:
    """A machine that pauses has broken no promise of ours."""
    check_none(timed(_tests()))


def test_a_sleep_is_found(tmp_path: Path) -> None:
    """By whatever library, but for the one that only lets others go on."""
    text = "time.sleep(1)\nawait asyncio.sleep(pause)\nawait asyncio.sleep(0)\nevent.wait(1)\n"
    assert [line.split()[0] for line in sleeps(modules(write(tmp_path, a=text)))] == ["a.py:1", "a.py:2"]


def test_an_assertion_on_a_clock_is_found(tmp_path: Path) -> None:
    """On its reading, and on what the test has made of one; a bound that is measured too is none."""
    read = "    began = time.monotonic()\n    took_s = time.monotonic() - began\n"
    checks = [
        "took_s < 2",
        "_MOST_S * 2 >= time.time()",
        "watch.seconds < 2",
        "took_s < 3 * quiet_s",
        "began <= row.at",
    ]
    text = f"def test_a():\n{read}" + "".join(f"    assert {check}\n" for check in checks)
    assert [line.split()[0] for line in timed(modules(write(tmp_path, a=text)))] == ["a.py:4", "a.py:5"]


def test_an_excuse_that_nothing_needs_is_found() -> None:
    """It would hide the next sleep of that file."""
    assert _elsewhere(["a.py:1 x", "b.py:2 y"], {"a.py": "so", "c.py": "so"}) == (["b.py:2 y"], {"c.py"})
