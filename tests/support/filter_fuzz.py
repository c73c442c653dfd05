"""Filters by chance, by CEL's grammar and by mutation; run as a program, it asks the real evaluator about them.

The program says what came of them as JSON. A crash of the interpreter, or an exception, is its exit status.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.filters import FilterAnswer
from noteflow_hooks.domain.options import FILTER_LIMIT
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.filters import CelFilters

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES: Final = ("data", "type", "x", "y", "data.l", "data.t", "data.m", "data.o", "data.n", "data.q", "data.z", "x.a")
_LITERALS: Final = (
    "1", "-1", "0", "1.5", "1u", "true", "false", "null", '"a"', "'é'", 'b"a"', '""', "[]", "{}", "9223372036854775807",
    "1e308", '"2026-01-01T00:00:00Z"', '"1h"', "[1,2]", '{"a":1}', 'r"\\d"', "int", "google.protobuf.Struct{}",
)  # fmt: skip
_OPERATORS: Final = (" == ", " != ", " < ", " <= ", " > ", " && ", " || ", " + ", " - ", "*", "/", "%", " in ")
_FUNCTIONS: Final = ("size", "int", "double", "string", "bytes", "timestamp", "duration", "dyn", "type", "bool", "uint")
_METHODS: Final = (
    "contains", "startsWith", "endsWith", "size", "getHours", "getFullYear", "getSeconds", "matches", "map", "join",
)  # fmt: skip
_LOOPS: Final = ("exists", "all", "exists_one", "filter", "map")
_PATTERNS: Final = (
    "a", "^(a+)+$", "(a|aa)+$", ".*.*.*x", "[ab]*a[ab]{20}c", "(?i)budget", r"\\d+", r"\\pL+", r"\\pL{100}", "a{1000}",
    ".{160}x", "(.{1,30}){1,30}", "[", "(", "(?=a)", r"\\1", r"\\Q[\\E(a{1000})", "[[:alpha:]]{150}", "((((a*)*)*)*)*b",
    "", r"[\\pL\\pN]", "(a?){30}a{30}", r"[^a]{160}", "|" * 50,
)  # fmt: skip
_SCRAPS: Final = (
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "?",
    ":",
    "!",
    "-",
    '"',
    "'",
    "\\",
    "\n",
    "//",
    "\x00",
    "é",
    "`",
)
_LARGE: Final = 9_000
#: What filters are asked about: a usual payload, and some that make much of what is looked through.
PAYLOADS: Final = tuple(
    json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()
    for each in (
        {"t": "Budget", "n": 1, "l": [1, 2, "a"], "m": {"a": 1}, "o": [{"a": "b", "l": [1]}], "z": None, "b": True},
        {"t": "a" * 4_000, "l": [1] * 2_000, "n": 10**30, "m": {}, "o": []},
        {"t": "ab" * 4_500, "l": [], "n": 1.5, "m": {str(each): each for each in range(30)}, "o": [{"a": "x"}] * 20},
        {
            "t": "",
            "l": [[each] for each in range(1_500)],
            "n": -1,
            "m": {str(each): 1 for each in range(300)},
            "o": [1],
        },
    )
)
#: What one filter may cost, to be checked and asked four times, in times of some 10 ms' other work beside it.
BUDGET_UNITS: Final = 8


def a_filter(chance: random.Random) -> str:
    """Return a filter that is one by its grammar, or nearly, or nothing like one."""
    depth = chance.randint(0, 4)
    if chance.random() < 0.7:
        return _bool(chance, depth, ("data.t", "data.l", "data.o", "data.m", "data.n", "data.b", "type"))[:FILTER_LIMIT]
    text = _expression(chance, depth)
    for _ in range(chance.choice((0, 0, 0, 1, 2, 5))):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(_SCRAPS) * chance.choice((1, 1, 3, 40)) + text[at + chance.choice((0, 1, 3)) :]
    return text[:FILTER_LIMIT]


def _bool(chance: random.Random, depth: int, names: tuple[str, ...]) -> str:
    """Return an expression of type bool, if its parts are of the types that they need."""
    if depth <= 0:
        name = chance.choice(names)
        return chance.choice(
            (
                f"{name} == {chance.choice(_LITERALS[:10])}",
                f"{name} > {chance.choice(names)}",
                f"{name} {chance.choice(('==', '!=', '<', 'in'))} {chance.choice(names)}",
                "has(data.q)",
                f"{name}.{chance.choice(('contains', 'startsWith', 'endsWith'))}({chance.choice(names)})",
                f'{name}.matches("{chance.choice(_PATTERNS)}")',
                f"size({name}) > 1",
                f"{name} + {name} + {name} == {name}",
                f"[{name}, {name}, {name}] == [{name}, {name}, {name}]",
                f"string({name}) == {name}",
                f'timestamp("2026-01-01T00:00:00Z").getHours({name}) == 1',
            )
        )
    one, other = (_bool(chance, depth - 1, names) for _ in range(2))
    variable = f"v{depth}"
    return chance.choice(
        (
            lambda: f"{one} && {other}",
            lambda: f"{one} || {other}",
            lambda: f"!({one})",
            lambda: f"({one}) ? {other} : {one}",
            lambda: " || ".join([one] * chance.choice((3, 10, 30))),
            lambda: (
                f"{chance.choice(names)}.{chance.choice(_LOOPS[:3])}"
                f"({variable}, {_bool(chance, depth - 1, (*names, variable, f'{variable}.a'))})"
            ),
        )
    )()


def _expression(chance: random.Random, depth: int) -> str:
    if depth <= 0:
        return chance.choice(_NAMES if chance.random() < 0.6 else _LITERALS)
    inner = [_expression(chance, depth - chance.choice((1, 1, 2))) for _ in range(3)]
    return chance.choice(
        (
            lambda: chance.choice(_OPERATORS).join(inner[: chance.choice((2, 2, 3))]),
            lambda: f"({inner[0]})",
            lambda: f"!({inner[0]})",
            lambda: f"{inner[0]} ? {inner[1]} : {inner[2]}",
            lambda: f"{chance.choice(_FUNCTIONS)}({inner[0]})",
            lambda: f"{inner[0]}.{chance.choice(_METHODS)}({', '.join(inner[: chance.choice((0, 1, 1, 2))])})",
            lambda: f'data.t.matches("{chance.choice(_PATTERNS)}")',
            lambda: f"data.{chance.choice('lmo')}.{chance.choice(_LOOPS[:3])}(x, {inner[0]} == {inner[1]})",
            lambda: f"{inner[0]}.{chance.choice(_LOOPS)}({chance.choice('xy')}, {inner[1]})",
            lambda: f"has(data.{chance.choice('tlmonq')}) && {inner[0]}",
            lambda: f"[{', '.join(inner)}]",
            lambda: f"{inner[0]}[{inner[1]}]",
            lambda: chance.choice((" + ", " && ", " || ")).join([inner[0]] * chance.choice((5, 30, 100))),
        )
    )()


def took(work: Callable[[], object]) -> float:
    """Return the processor time that it takes in this thread, in seconds."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def a_unit() -> float:
    """Return the processor time of a piece of work that takes some 10 ms."""
    return min(took(lambda: hashlib.pbkdf2_hmac("sha256", b"a", b"b", 40_000)) for _ in range(3))


def main(seed: int, count: int) -> dict[str, object]:
    """Ask about so many; return what came of them, and what the costliest one costs in units."""
    chance, filters, worst = random.Random(seed), CelFilters(), (0.0, "")
    counts = dict.fromkeys(("taken", "refused", *map(str, FilterAnswer)), 0)

    def ask(text: str) -> None:
        try:
            filters.check(text)
        except InvalidInputError as error:
            if error.field != "filter":
                raise
            counts["refused"] += 1
            return
        counts["taken"] += 1
        for payload in PAYLOADS:
            counts[filters.evaluate(text, event_type="meeting.completed", payload=payload).answer] += 1

    gc.disable()
    for _ in range(count):
        text = a_filter(chance)
        worst = max(worst, (took(lambda: ask(text)), text))  # noqa: B023 - called at once
    # Again, beside the other work, since one measurement among many says more of the machine.
    found: dict[str, object] = {**counts}
    return {**found, "worst": worst[1], "units": min(took(lambda: ask(worst[1])) for _ in range(3)) / a_unit()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
