"""What evaluating an expression may take at the most, counted from its tree before it is evaluated.

The library bounds how deep an expression is and how often loops go round, 10,000 times in all, and nothing else: to
compare two lists 5,000 times would take half a second. So each part is counted as often as loops may bring it, for a
payload of so many bytes with so many elements; one unit is about a nanosecond. What a loop goes through is counted
together: the texts of all elements are not longer than the payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.filters.patterns import SIZE_LIMIT, size_of
from noteflow_hooks.filters.tree import Call, Constant, Field, Loop, Made, Name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.filters.tree import Node

#: The most that one evaluation may take: some 10 ms, ten usual deliveries' worth.
BUDGET: Final = 10_000_000
#: What is made of the payload before anything else, for each of its bytes.
_CONVERTED: Final = 60
#: A step of the evaluation.
_STEP: Final = 80
#: Functions that look up a time zone by its name.
_ZONE: Final = 2_000
#: What functions take for each byte of what they are given. Whatever is not named may look at all of it.
_A_BYTE: Final = 15
_TEXT_A_BYTE: Final = 2
_TEXT: Final = frozenset({"contains", "startsWith", "endsWith", "size", "string", "bytes", "int", "uint", "double"})
_COMPARED: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_FREE: Final = frozenset(
    {"_&&_", "_||_", "!_", "_?_:_", "@not_strictly_false", "__not_strictly_false__", "_[_]", "-_", "dyn", "type"}
)
#: A regular expression is compiled at each call, and takes so much for each byte, both by its size.
_COMPILED: Final = (3_000, 2_500)
_MATCHED: Final = (30, 0.25)


@dataclass(frozen=True, slots=True)
class _Value:
    """How large a value is, at the most, over all times that its place is evaluated.

    In the scope ``at`` it is ``parts`` payloads times the number of elements to the power of ``own``, all together.
    """

    at: int = 0
    own: int = 0
    parts: int = 1

    def power(self, scope: int) -> int:
        """Return the power of the number of elements, for all evaluations in that scope."""
        return self.own + scope - self.at


#: A bool, a number, or what stands in the expression itself.
_NOTHING: Final = _Value(parts=0)


@dataclass(frozen=True, slots=True)
class Cost:
    """A sum of terms: a weight, whether it is for each byte, and the power of the number of elements."""

    terms: Mapping[tuple[bool, int], float]

    def of(self, *, size: int, elements: int) -> float:
        """Return the units for a payload of so many bytes with so many elements in all its lists and maps."""
        return sum(
            weight * (size if is_a_byte else 1) * float(elements) ** power
            for (is_a_byte, power), weight in self.terms.items()
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What an expression costs, and its regular expressions, which the library looks at no sooner than it uses them."""

    cost: Cost
    patterns: Sequence[str]


def count(tree: Node) -> Counted:
    """Count what an expression costs; raise InvalidInputError for what a filter may not have."""
    counting = _Counting()
    counting.visit(tree, 0, {})
    return Counted(Cost(counting.terms), counting.patterns)


class _Counting:
    """One walk through a tree. A scope is the power of the number of elements: so often it is evaluated."""

    def __init__(self) -> None:
        self.terms: dict[tuple[bool, int], float] = {}
        self.patterns: list[str] = []
        self._add(_CONVERTED, 0, is_a_byte=True)

    def visit(self, node: Node, scope: int, names: Mapping[str, _Value]) -> _Value:
        self._add(_STEP, scope)
        match node:
            case Constant():
                return _NOTHING
            case Name(name):
                return names.get(name, _Value())
            case Field(operand):
                return self.visit(operand, scope, names)
            case Made(parts, message):
                if message:
                    raise InvalidInputError("filter", f"makes a message, {message[:100]!r}; a filter may not")
                return _joined([self.visit(each, scope, names) for each in parts], scope)
            case Call(function, arguments):
                values = [self.visit(each, scope, names) for each in arguments]
                self._count_call(function, arguments, values, scope)
                return _joined(values, scope)
            case Loop():
                return self._loop(node, scope, names)

    def _count_call(self, function: str, arguments: tuple[Node, ...], values: list[_Value], scope: int) -> None:
        if function == "matches":
            return self._count_matches(arguments, values, scope)
        if function.startswith("get"):
            self._add(_ZONE, scope)
        # A comparison with a constant ends with that.
        if function in _FREE or (function in _COMPARED and any(isinstance(each, Constant) for each in arguments)):
            return None
        weight = _TEXT_A_BYTE if function in _TEXT else _A_BYTE
        for each in values:
            self._add(weight * each.parts, each.power(scope), is_a_byte=True)
        return None

    def _count_matches(self, arguments: tuple[Node, ...], values: list[_Value], scope: int) -> None:
        text, pattern = values[0], arguments[-1]
        if not (isinstance(pattern, Constant) and pattern.text is not None):
            raise InvalidInputError("filter", "has a regular expression that is not written out as a string")
        if "\\Q" in pattern.text:
            raise InvalidInputError("filter", r"has a regular expression with \Q; escape each character instead")
        size = size_of(pattern.text)
        if size > SIZE_LIMIT:
            raise InvalidInputError(
                "filter",
                f"has a regular expression of {size:,} steps, counted with its repetitions; allowed are {SIZE_LIMIT:,}",
            )
        self.patterns.append(pattern.text)
        self._add(_COMPILED[0] + _COMPILED[1] * size, scope)
        self._add((_MATCHED[0] + _MATCHED[1] * size) * text.parts, text.power(scope), is_a_byte=True)

    def _loop(self, node: Loop, scope: int, names: Mapping[str, _Value]) -> _Value:
        if isinstance(node.start, Made):
            raise InvalidInputError("filter", "makes a list by map or filter; allowed are exists, exists_one and all")
        over = self.visit(node.over, scope, names)
        self.visit(node.start, scope, names)
        power = over.power(scope)
        inner = power + 1
        element = _Value(at=inner, own=power, parts=over.parts)
        known = {**names, **dict.fromkeys(node.variables, element), node.gathered: _NOTHING}
        for each in node.body:
            self.visit(each, inner, known)
        return _NOTHING

    def _add(self, weight: float, power: int, *, is_a_byte: bool = False) -> None:
        self.terms[is_a_byte, power] = self.terms.get((is_a_byte, power), 0) + weight


def _joined(values: list[_Value], scope: int) -> _Value:
    """Return the size of what may hold all of these."""
    if not values:
        return _NOTHING
    largest = max(values, key=lambda each: each.power(scope))
    return _Value(largest.at, largest.own, sum(each.parts for each in values))
