"""The library's words as ours: with the place in a filter, and without any text of a payload."""

from __future__ import annotations

import re
from typing import Final

from noteflow_hooks.errors import InvalidInputError

#: The most characters of a reason that are shown.
_SHOWN: Final = 200
_PLACED: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_CODE: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_CONTAINER: Final = re.compile(r" ?\(in container '\w+'\)")
_TOO_DEEP: Final = re.compile(r"(?i)recursion (limit|depth)")
#: What the library says of an evaluation, and how we say it. What it quotes may be a payload's.
_SAYINGS: Final = (
    ("Key not found in map", "a field is missing"),
    ("no such key", "a field is missing"),
    ("no such field", "a field is missing"),
    ("atching overload", "an operator or function doesn't take values of these types"),
    ("SELECT to non-message", "a field is asked of what has none"),
    ("expected integer type", "a list's element is asked by what is no number"),
    ("divi", "a number is divided by zero"),
    ("modul", "a number is divided by zero"),
    ("ndex", "a list has no such element"),
    ("Iteration budget", "its loops go round more than 10,000 times"),
    ("overflow", "a number is too large"),
    ("out of", "a number is too large"),
    ("map key", "a map is made with a key that none may have"),
    ("UTF-8", "bytes are no text"),
    ("imestamp", "a text is no timestamp"),
    ("uration", "a text is no duration"),
    ("cannot convert", "a value can't be converted"),
    ("conversion", "a value can't be converted"),
    ("imezone", "there is no such time zone"),
    ("regular expression", "a regular expression can't be used"),
)
_QUOTED: Final = re.compile(r'"([^"]{1,60})"')
_GUARD: Final = "; has() tells whether there is one"


def refusal(text: str) -> InvalidInputError:
    """Return why the library doesn't take a filter, by its first complaint and with its place."""
    if _TOO_DEEP.search(text):
        return InvalidInputError(
            "filter", "is nested too deep; allowed are 32 levels, each operator in a row being one"
        )
    found = _PLACED.search(text)
    if found is None:
        return InvalidInputError("filter", f"is no valid CEL expression: {_plain(_CODE.sub('', text))}")
    line, column, reason = found.groups()
    place = f"line {line}, column {column}: " if int(line) > 0 else ""
    return InvalidInputError("filter", f"is no valid CEL expression: {place}{_plain(_CODE.sub('', reason))}")


def failure(text: str, *, expression: str) -> str:
    """Return why an expression could not be evaluated, in words that repeat nothing of the payload."""
    words = next((own for start, own in _SAYINGS if start in text), "it can't be evaluated over this payload")
    quoted = _QUOTED.search(text)
    if words.startswith("a field is missing"):
        # A name is the payload's where the expression has computed it.
        named = f": {quoted[1]!r}" if quoted is not None and quoted[1] in expression else ""
        return f"{words}{named}{_GUARD}"
    return words


def _plain(text: str) -> str:
    first = _CONTAINER.sub("", text).partition("\n")[0].strip()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in first)[:_SHOWN]
