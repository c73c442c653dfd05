"""How large a regular expression of RE2 is, by its text: so much its automaton takes, and a look at each character."""

from __future__ import annotations

import re
from typing import Final

#: The largest that a filter may have. `.{1000}` would be 6,000: 21 ms for a text of 9,000 characters.
SIZE_LIMIT: Final = 1000
#: A Unicode class compiles to hundreds of ranges: 1.1 ms.
_UNICODE: Final = 500
#: Whatever is no single character takes some ranges of bytes.
_CLASS: Final = 6
_REPEATS: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
#: A class in brackets. What closes it is no first character, and no end of a class by name inside.
_BRACKETS: Final = re.compile(r"\[\^?\]?(?:\[:\^?\w*:\]|\\.|[^\]\\])*\]?", re.DOTALL)
_UNICODE_CLASS: Final = re.compile(r"\\[pP](?:\{[^}]*\}?|.)?", re.DOTALL)


def size_of(pattern: str) -> int:
    """Return how many steps the expression has, with what is repeated counted as often as it may be."""
    #: The sizes of the groups that are open, the whole first, and the size of what was read last.
    sizes, last, at = [0], 0, 0
    while at < len(pattern):
        character = pattern[at]
        repeats = _REPEATS.match(pattern, at)
        if repeats is not None:
            # The part is in the sum once already.
            sizes[-1] += last * (max(int(each or 1) for each in repeats.groups()) - 1)
            last *= max(int(each or 1) for each in repeats.groups())
            at = repeats.end()
        elif character == "(":
            sizes.append(0)
            at += 1
        elif character == ")":
            last = sizes.pop() + 1 if len(sizes) > 1 else 1
            sizes[-1] += last
            at += 1
        else:
            last, at = _part(pattern, at)
            sizes[-1] += last
    return sum(sizes)


def _part(pattern: str, at: int) -> tuple[int, int]:
    """Return the size of the class, escape or character there, and where it ends."""
    character = pattern[at]
    if character == "[":
        brackets = _BRACKETS.match(pattern, at)
        end = brackets.end() if brackets is not None else at + 1
        return _CLASS + _UNICODE * len(_UNICODE_CLASS.findall(pattern, at, end)), end
    if character == "\\":
        unicode_class = _UNICODE_CLASS.match(pattern, at)
        if unicode_class is not None:
            return _UNICODE, unicode_class.end()
        escaped = pattern[at + 1 : at + 2]
        return (_CLASS if escaped.isalpha() else 1), at + 2
    return (_CLASS if character == "." else 1), at + 1
