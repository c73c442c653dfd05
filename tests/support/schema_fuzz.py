"""Schemas and payloads by chance: most of a schema's words, many of them with what they may not hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

#: One run in so many parts, each with a seed of its own.
SEEDS: Final = range(10)
_NAMES: Final = ("a", "b", "c", "event", "timestamp", "a/b", "~0", "", "$ref", "é", "\u202e", "\x00")
_PATTERNS: Final = (
    "^a", "(a+)+$", "(a|a)*b", "^(a|aa)+$", ".*.*.*x", "[01]*1[01]{30}", "(?:0?){40}0{40}", "(", "(?=a)", r"\1",
    "a{9999}", r"\p{L}+", r"^\w{1,60}$", "((a{1,50}){1,50}){1,50}", "[", r"\d+$", "(?i)A", "$^", "", "\U0001f600+",
)  # fmt: skip
_REFERENCES: Final = (
    "#", "#/$defs/a", "#/$defs/b", "#/$defs/a/properties/b", "#/properties/a", "#/items", "#/allOf/0", "#/allOf/00",
    "#/", "#a", "other", "https://evil.example/", "#/$defs/a%2Fb", "#/$defs/~1", "file:///etc/passwd",
)  # fmt: skip
_NUMBERS: Final = (0, 1, -1, 3, 2.5, 0.1, 1e308, -1e-320, 2**63, 10**40, 5_000)


def a_schema(chance: random.Random) -> str:
    """Return the JSON text of a schema; one in fifty is no JSON or none of these."""
    if chance.random() < 0.02:
        return chance.choice(
            ["", "[]", "5", '{"a":', "{" * 5_000, '{"a":' * 3_000 + "1" + "}" * 3_000, '{"a":1,"a":2}']
        )
    schema = _schema(chance, chance.randint(0, 5))
    if not isinstance(schema, dict):
        schema = {"not": schema}
    if chance.random() < 0.7:
        schema["$defs"] = {name: _schema(chance, 2) for name in ("a", "b", "a/b")}
    if chance.random() < 0.05:
        _widen(schema, chance)
    return json.dumps(schema, separators=(",", ":"))


def a_payload_for(chance: random.Random) -> dict[str, Any]:
    """Return a payload that could be sent."""
    kind = chance.randrange(6)
    if kind == 0:
        return {"a": [chance.choice([1, 2, "x", None])] * 2_000}
    if kind == 1:
        return {"a": "".join(chance.choice("01") for _ in range(9_000))}
    if kind == 2:
        return {f"a{each}": each for each in range(900)}
    if kind == 3:
        return {"a": [{"b": [each]} for each in range(600)]}
    value: Any = 1
    for _ in range(30):
        value = (
            {chance.choice("ab"): value}
            if chance.random() < 0.7
            else [value, value]
            if chance.random() < 0.1
            else [value]
        )
    return {"a": value, "b": "a" * chance.randrange(3_000)}


def _widen(schema: dict[str, Any], chance: random.Random) -> None:
    """Have very many of something."""
    name = chance.choice(["allOf", "oneOf", "enum", "required", "properties", "patternProperties"])
    part = _schema(chance, 1)
    many: dict[str, Any] = {
        "allOf": [part] * 300,
        "oneOf": [{"const": each} for each in range(300)],
        "enum": list(range(2_000)),
        "required": [f"a{each}" for each in range(1_000)],
        "properties": {f"a{each}": part for each in range(100)},
        "patternProperties": {f"^a{each}": part for each in range(70)},
    }
    place = schema if chance.random() < 0.5 else schema.setdefault("items", {})
    if isinstance(place, dict):
        place[name] = many[name]


def _schema(chance: random.Random, depth: int) -> Any:  # noqa: ANN401 - a JSON value
    if chance.random() < 0.1:
        return chance.choice([True, False])
    schema: dict[str, Any] = {}
    for _ in range(chance.randint(0, 4)):
        name = chance.choice(list(_WORDS if depth else _LEAVES))
        schema[name] = (_WORDS if depth else _LEAVES)[name](chance, depth - 1)
    if chance.random() < 0.01:
        schema[chance.choice(["$id", "$anchor", "$dynamicRef", "$schema", "type", "items"])] = chance.choice(
            [5, "x", [], {}]
        )
    return schema


def _list(chance: random.Random, depth: int) -> list[Any]:
    return [_schema(chance, depth) for _ in range(chance.randint(1, 4))]


def _map(chance: random.Random, depth: int) -> dict[str, Any]:
    return {chance.choice(_NAMES): _schema(chance, depth) for _ in range(chance.randint(0, 4))}


def _by_pattern(chance: random.Random, depth: int) -> dict[str, Any]:
    return {chance.choice(_PATTERNS): _schema(chance, depth) for _ in range(chance.randint(1, 3))}


def _value(chance: random.Random, _: int) -> Any:  # noqa: ANN401 - a JSON value
    return chance.choice([None, True, 5, "x", [1], {"a": [2]}, *_NUMBERS])


def _number(chance: random.Random, _: int) -> float:
    return chance.choice(_NUMBERS)


_LEAVES: Final[dict[str, Callable[[random.Random, int], Any]]] = {
    "type": lambda chance, _: chance.choice(
        ["object", "array", "string", "number", "integer", "null", ["string", "null"]]
    ),
    "enum": lambda chance, _: [_value(chance, 0) for _ in range(chance.randint(1, 5))],
    "const": _value,
    "pattern": lambda chance, _: chance.choice(_PATTERNS),
    "minimum": _number,
    "maximum": _number,
    "multipleOf": _number,
    "minLength": _number,
    "maxItems": _number,
    "minProperties": _number,
    "uniqueItems": lambda chance, _: chance.random() < 0.8,
    "required": lambda chance, _: chance.sample(_NAMES, 2),
    "format": lambda chance, _: chance.choice(["email", "date-time", "regex", "idn-hostname", "no such"]),
    "$ref": lambda chance, _: chance.choice(_REFERENCES),
    "dependentRequired": lambda chance, _: {chance.choice(_NAMES): [chance.choice(_NAMES)]},
}
_WORDS: Final[dict[str, Callable[[random.Random, int], Any]]] = {
    **_LEAVES,
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _list),
    **dict.fromkeys(("properties", "dependentSchemas", "dependencies"), _map),
    **dict.fromkeys(
        (
            "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
            "unevaluatedItems", "unevaluatedProperties",
        ),
        _schema,
    ),
    "patternProperties": _by_pattern,
}  # fmt: skip
