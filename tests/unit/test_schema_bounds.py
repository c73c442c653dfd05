"""What a schema may be and may cost: each hostile one is refused from its text alone, and what people write is not."""

from __future__ import annotations

from typing import Any, Final

import pytest

from noteflow_hooks.domain.schema_bounds import COST_LIMIT, DIALECT, PATTERNS_LIMIT, VALUES_LIMIT, measured
from noteflow_hooks.errors import InvalidInputError


def doubling(steps: int, *, times: int = 2) -> dict[str, Any]:
    """Return a small schema whose check takes ``times`` to the power of ``steps`` steps."""
    parts: dict[str, Any] = {f"a{step}": {"allOf": [{"$ref": f"#/$defs/a{step + 1}"}] * times} for step in range(steps)}
    return {"$defs": {**parts, f"a{steps}": {"type": "object"}}, "$ref": "#/$defs/a0"}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"not": True}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


REFUSED: Final[dict[str, tuple[Any, str]]] = {
    "no object": (True, "must be one JSON object"),
    "a loop": ({"$ref": "#"}, "refers to itself"),
    "a loop of two": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "itself",
    ),
    "a loop by values": ({"properties": {"a": {"$ref": "#"}}}, "refers to itself"),
    "a loop by an escaped name": (
        {"$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}}}, "$ref": "#/$defs/a~1b"},
        "itself",
    ),
    "a remote reference": (
        {"$ref": "https://evil.example/x"},
        "refers to 'https://evil.example/x'; allowed are places",
    ),
    "a file": ({"$ref": "file:///etc/passwd"}, "allowed are places of its own"),
    "a relative one": ({"$ref": "other.json"}, "allowed are places of its own"),
    "an escape": ({"$defs": {"a": {}}, "$ref": "#/%24defs/a"}, "allowed are places of its own"),
    "a place that is none": ({"$ref": "#/$defs/a"}, "which is no schema of its own"),
    "a place that is no schema": ({"$defs": {"a": 5}, "$ref": "#/$defs/a"}, "which is no schema of its own"),
    "no text": ({"$ref": 5}, "allowed are places of its own"),
    "an anchor": ({"$defs": {"a": {"$anchor": "b"}}}, "has $anchor, which is not allowed"),
    "a dynamic reference": ({"items": {"$dynamicRef": "#a"}}, "has $dynamicRef"),
    "a recursive one": ({"items": {"$recursiveRef": "#"}}, "has $recursiveRef"),
    "an id below the top": ({"$defs": {"a": {"$id": "b"}}}, "has $id below the top"),
    "another dialect below": ({"items": {"$schema": "http://json-schema.org/draft-04/schema#"}}, "has $schema below"),
    "another dialect": ({"$schema": "http://json-schema.org/draft-07/schema#"}, f"of the dialect {DIALECT}"),
    "too deep": (nested(65), "nested more than 64 deep"),
    "much too deep": ({"default": nested(200)}, "nested more than 128 deep"),
    "deep by references": (
        {"$defs": {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(70)} | {"a70": {}}, "$ref": "#/$defs/a0"},
        "with its references followed",
    ),
    "doubling": (doubling(19), f"at most {COST_LIMIT:,} are allowed"),
    "doubling without end": (doubling(25, times=10), "too many steps"),
    "doubling by values": (
        {
            "$defs": {
                **{
                    f"a{i}": {
                        "properties": {"a": {"$ref": f"#/$defs/a{i + 1}"}},
                        "allOf": [{"$ref": f"#/$defs/a{i + 1}"}],
                    }
                    for i in range(25)
                },
                "a25": {},
            },
            "$ref": "#/$defs/a0",
        },
        f"at most {COST_LIMIT:,} are allowed",
    ),
    "for each value": ({"items": {"oneOf": [{"const": each} for each in range(100)]}}, "5,120 for each keyword below"),
    "compared values": ({"allOf": [{"uniqueItems": True}] * 100}, "steps for one payload"),
    "values that are compared with values": ({"items": {"enum": [[each] for each in range(100)]}}, "steps for one"),
    "looks at all again": (
        {"allOf": [{"properties": {"a": {}}}] * 100, "unevaluatedProperties": False},
        "steps for one",
    ),
    "names by expressions": ({"patternProperties": {f"^{i}": {} for i in range(65)}}, "65 regular expressions"),
    "many expressions": (
        {"anyOf": [{"pattern": f"^{i}"} for i in range(PATTERNS_LIMIT + 1)]},
        "65 regular expressions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_schema_is_refused_with_what_is_allowed(name: str) -> None:
    """Before anything is checked by it, and by its field's name."""
    schema, words = REFUSED[name]
    with pytest.raises(InvalidInputError) as caught:
        measured(schema)
    assert caught.value.field == "schema"
    assert words in caught.value.problem


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$schema": DIALECT, "$id": "https://acme.example/order", "type": "object"},
        {"$schema": f"{DIALECT}#"},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "$anchor": True}},
        {"$defs": {"money": {"type": "number"}}, "properties": {key: {"$ref": "#/$defs/money"} for key in "ab"}},
        {"properties": {"lines": {"items": {"properties": {f"f{i}": {"type": "string"} for i in range(60)}}}}},
        {"items": {"enum": [f"country {each}" for each in range(250)]}},
        {"properties": {f"field_{each}": {"type": "string", "maxLength": 9} for each in range(250)}},
        {"prefixItems": [{"const": "a"}, {"$ref": "#/prefixItems/0"}], "dependentRequired": {"a": ["b"]}},
        nested(64),
        doubling(14),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_people_write_is_taken(schema: dict[str, Any]) -> None:
    """A property may be called like a word of the language, and a part may be referred to from many places."""
    assert measured(schema).of(VALUES_LIMIT) <= COST_LIMIT


def test_the_count_is_of_what_a_check_meets() -> None:
    """Once for the payload, or for each of its values; each reference in each place."""
    assert measured({}).of(1000) == 1
    assert measured({"properties": {"a": {}, "b": {"not": {}}}}).of(1000) == 4
    assert measured({"items": {"not": {}}}).of(1000) == 1 + 2 * 1000
    shared = {"$defs": {"a": {"pattern": "^a"}}, "allOf": [{"$ref": "#/$defs/a"}, {"items": {"$ref": "#/$defs/a"}}]}
    cost = measured(shared)
    assert (cost.once, cost.for_each) == (1 + 2 + 1, 2)
    assert cost.patterns == {"^a": 2}
