"""What a caller's JSON Schema may be, and the most that a check by it may cost: counted before it is used.

A schema is expanded as a check would meet it, each reference in each place, so neither loops nor references that double
at each step get through. What lies under ``items`` and its like is met once for each value of a payload at the most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The most bytes of a schema.
SCHEMA_LIMIT_BYTES: Final = 16_384
#: The dialect; a schema need not name it.
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: How deep a schema may be, its references followed.
DEPTH_LIMIT: Final = 64
#: The most keywords that one check may meet.
COST_LIMIT: Final = 512_000
#: The most different regular expressions of a schema.
PATTERNS_LIMIT: Final = 64
#: The most values of a payload: each takes two bytes.
VALUES_LIMIT: Final = PAYLOAD_LIMIT_BYTES // 2
#: So many names of a list are compared in the time of one keyword.
_NAMES_A_STEP: Final = 50

_IN_PLACE: Final = ("not", "if", "then", "else")
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAPS: Final = ("dependentSchemas", "dependencies")
#: What is met once for each value below.
_FOR_EACH: Final = ("items", "additionalProperties", "propertyNames", "contains")
#: What looks again at all that stands beside it, for each value below.
_UNEVALUATED: Final = ("unevaluatedItems", "unevaluatedProperties")
#: What would make another schema of a part than the one that is counted.
_REFUSED: Final = frozenset({"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor"})
#: What may stand at the top only.
_TOP_ONLY: Final = frozenset({"$id", "$schema", "$vocabulary"})


@dataclass(slots=True)
class SchemaCost:
    """How many keywords a check meets: those once, and those for each value of the payload."""

    once: int = 1
    for_each: int = 0
    #: Those of ``once`` that look at the very value that the schema is for.
    in_place: int = 1
    #: Each regular expression, and in how many places it is met.
    patterns: Counter[str] = field(default_factory=Counter)

    def of(self, values: int) -> int:
        """Return the most keywords that are met in a payload of so many values."""
        return self.once + self.for_each * values

    def add(self, other: SchemaCost, *, in_place: bool) -> None:
        """Count what another schema costs that is met once."""
        self.once += other.once
        self.for_each += other.for_each
        self.in_place += other.in_place if in_place else 0
        self.patterns.update(other.patterns)

    def add_for_each(self, other: SchemaCost) -> None:
        """Count what another schema costs that is met for each value."""
        self.for_each += other.once + other.for_each
        self.patterns.update(other.patterns)


def measured(schema: object) -> SchemaCost:
    """Return what a check by the schema costs; raise InvalidInputError, of ``schema``, for one that may not be used.

    Whether it is a valid schema otherwise is for the library to say.
    """
    if not isinstance(schema, dict):
        raise _refusal("must be one JSON object")
    if schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise _refusal(f"must be of the dialect {DIALECT}, which $schema may name")
    _check_words(schema)
    cost = _Measure(schema).of(schema)
    if len(cost.patterns) > PATTERNS_LIMIT:
        raise _refusal(f"has {len(cost.patterns)} regular expressions; at most {PATTERNS_LIMIT} are allowed")
    most = cost.of(VALUES_LIMIT)
    if most > COST_LIMIT:
        shown = f"{most:,}" if most < 10**15 else "too many"
        raise _refusal(
            f"may take {shown} steps for one payload; at most {COST_LIMIT:,} are allowed:"
            f" {VALUES_LIMIT:,} for each keyword below items and its like"
        )
    return cost


def _check_words(schema: dict[str, Any]) -> None:
    """Refuse words that stand anywhere; a property may be called like one, since its value is no text."""
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > 2 * DEPTH_LIMIT:
            raise _refusal(f"is nested more than {2 * DEPTH_LIMIT} deep")
        if isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
        elif isinstance(value, dict):
            waiting += [(each, depth + 1) for each in value.values()]
            for name in value.keys() & (_REFUSED if value is schema else _REFUSED | _TOP_ONLY):
                if not isinstance(value[name], (dict, bool)):
                    where = " below the top" if name in _TOP_ONLY else ""
                    raise _refusal(f"has {name}{where}, which is not allowed; $ref may name a place, #/$defs/…")


class _Measure:
    """Measures one schema, each part once."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, SchemaCost] = {}
        self._open: set[int] = set()

    def of(self, schema: object) -> SchemaCost:
        if not isinstance(schema, dict):
            return SchemaCost()
        key = id(schema)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            raise _refusal("refers to itself by $ref; loops are not allowed")
        if len(self._open) >= DEPTH_LIMIT:
            raise _refusal(f"is nested more than {DEPTH_LIMIT} deep, with its references followed")
        self._open.add(key)
        cost = self._known[key] = self._of_keywords(schema)
        self._open.remove(key)
        return cost

    def _of_keywords(self, schema: dict[str, Any]) -> SchemaCost:
        cost = SchemaCost(once=1 + _steps(schema), in_place=1 + _steps(schema))
        for part in self._in_place(schema):
            cost.add(self.of(part), in_place=True)
        for part in (*_values(schema.get("properties")), *_elements(schema.get("prefixItems"))):
            cost.add(self.of(part), in_place=False)
        for name in _FOR_EACH + _UNEVALUATED:
            if name in schema:
                cost.add_for_each(self.of(schema[name]))
        for pattern, part in _pairs(schema.get("patternProperties")):
            cost.patterns[pattern] += 1
            cost.add_for_each(self.of(part))
        if isinstance(schema.get("pattern"), str):
            cost.patterns[schema["pattern"]] += 1
        # Both compare values with each other, or look at them anew.
        cost.for_each += 1 if schema.get("uniqueItems") is True else 0
        cost.for_each += cost.in_place * sum(name in schema for name in _UNEVALUATED)
        return cost

    def _in_place(self, schema: dict[str, Any]) -> Iterator[object]:
        yield from (schema[name] for name in _IN_PLACE if name in schema)
        for name in _IN_PLACE_LISTS:
            yield from _elements(schema.get(name))
        for name in _IN_PLACE_MAPS:
            yield from _values(schema.get(name))
        if "$ref" in schema:
            yield self._resolved(schema["$ref"])

    def _resolved(self, reference: object) -> object:
        if reference == "#":
            return self._root
        # Readers differ in what an escape stands for.
        if not isinstance(reference, str) or not reference.startswith("#/") or "%" in reference:
            raise _refusal(f"refers to {str(reference)[:100]!r}; allowed are places of its own, such as #/$defs/name")
        found: Any = self._root
        for token in reference[2:].split("/"):
            found = _below(found, token.replace("~1", "/").replace("~0", "~"))
        if not isinstance(found, (dict, bool)):
            raise _refusal(f"refers to {reference[:100]!r}, which is no schema of its own")
        return found


def _below(place: object, token: str) -> object:
    if isinstance(place, dict):
        return place.get(token)
    if isinstance(place, list) and token.isascii() and token.isdigit() and len(token) < len("10000"):
        return place[int(token)] if int(token) < len(place) else None
    return None


def _steps(schema: dict[str, Any]) -> int:
    """Return what a schema's lists of values and names cost: plain ones are looked up, others are compared."""
    steps = 0
    for name in ("enum", "required", "type"):
        members = _elements(schema.get(name))
        steps += len(members) // _NAMES_A_STEP + sum(isinstance(each, (dict, list)) for each in members)
    for each in (*_values(schema.get("dependentRequired")), *_values(schema.get("dependencies"))):
        steps += 1 + len(_elements(each)) // _NAMES_A_STEP
    return steps + isinstance(schema.get("const"), (dict, list))


def _elements(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _pairs(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _values(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _refusal(problem: str) -> InvalidInputError:
    return InvalidInputError("schema", problem)
