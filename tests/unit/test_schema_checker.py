"""The checker on the real library: what it says, that it asks nobody else, and that no schema goes over its budget.

A budget is counted in the time of a piece of work that is done right before, so that a slow machine changes nothing.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import jsonschema_rs
import pytest

from noteflow_hooks.domain.event_types import CustomEventType
from noteflow_hooks.domain.payloads import encode_nested
from noteflow_hooks.errors import InvalidInputError, SchemasMissingError
from noteflow_hooks.schemas import JsonSchemaChecker
from noteflow_hooks.schemas.checker import PATTERNS_KIB
from noteflow_hooks.schemas.kept import Kept
from tests.support.schema_fuzz import SEEDS, a_payload_for, a_schema
from tests.support.shares import first_of

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKER: Final = JsonSchemaChecker()
# So that no test has to load the library while it is timed.
CHECKER.check_schema("{}")
#: What one check, and the putting of one schema, may take: some 100 ms each where the figures were made.
CHECK_UNITS: Final = 10
PUT_UNITS: Final = 10
#: An expression that needs as many states as fit.
HEAVY: Final = "(?:0?){300}0{300}x|[01]*1[01]{300}2"


def a_unit() -> float:
    """Return the processor time of a piece of work that takes some 10 ms."""
    return took(lambda: hashlib.pbkdf2_hmac("sha256", b"a", b"b", 40_000))


def took(work: Callable[[], object]) -> float:
    # The collector would go through what the other tests have left, just when it likes.
    gc.disable()
    began = time.thread_time()
    try:
        work()
        return time.thread_time() - began
    finally:
        gc.enable()


def problems(schema: object, payload: dict[str, Any]) -> list[tuple[str, str]]:
    text = json.dumps(schema)
    CHECKER.check_schema(text)
    return [(each.field, each.problem) for each in CHECKER.problems(text, payload)]


@pytest.mark.parametrize(
    ("schema", "payload", "found"),
    [
        ({"type": "object"}, {"a": 1}, []),
        ({"required": ["a"]}, {}, [("a", "is missing")]),
        ({"properties": {"a": {"type": "string"}}}, {"a": 4242}, [("a", 'is not of type "string"')]),
        (
            {"properties": {"a": {"items": {"maximum": 3}}}},
            {"a": [1, 4]},
            [("a[1]", "is greater than the maximum of 3")],
        ),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": "y"}, [("a", 'does not match "^x"')]),
        (
            {"properties": {"a": True}, "additionalProperties": False},
            {"b": 1},
            [("payload", "Additional properties are not allowed ('b' was unexpected)")],
        ),
        ({"properties": {"a": {"format": "email"}}}, {"a": "no address"}, []),
        ({"properties": {"a": {"enum": ["x", "y"]}}}, {"a": "secret"}, [("a", 'is not one of "x" or "y"')]),
    ],
    ids=range(8),
)
def test_what_breaks_a_schema_is_said_by_field_and_rule(
    schema: object, payload: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    """Never with the value; ``format`` says something to readers alone."""
    assert problems(schema, payload) == found


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, "is no JSON Schema 2020-12"),
        ({"minLength": -1}, "is no JSON Schema 2020-12"),
        ({"items": [{}]}, "is no JSON Schema 2020-12"),
        ({"pattern": "("}, "a regular expression that can't be used, '('"),
        ({"pattern": "(?=a)b"}, "neither look-around nor back-references"),
        ({"patternProperties": {r"(a)\1": {}}}, "neither look-around nor back-references"),
        ({"pattern": "((a{1,100}){1,100}){1,100}"}, f"at most {PATTERNS_KIB} KiB compiled"),
        ({"properties": {each: {"pattern": HEAVY} for each in "ab"}}, f"more than {PATTERNS_KIB} KiB together"),
    ],
    ids=range(8),
)
def test_what_is_no_schema_or_takes_too_much_is_refused(schema: object, words: str) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidInputError) as caught:
        CHECKER.check_schema(json.dumps(schema))
    assert caught.value.field == "schema"
    assert words in caught.value.problem


def test_of_a_costly_payload_only_that_it_does_not_fit_is_said() -> None:
    """To say what breaks where takes a thousand times as long as to see that something does."""
    schema = {"properties": {"a": {"items": {"anyOf": [{"type": "string"}] * 50}}}}
    assert problems(schema, {"a": [1] * 3000}) == [("payload", "does not fit the type's schema")]
    assert len(problems({"required": [f"f{each}" for each in range(30)]}, {})) == 20


def test_nothing_is_looked_up_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by what stands where nothing refers to it."""

    def dial(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket, "getaddrinfo", dial)
    monkeypatch.setattr(socket.socket, "connect", dial)
    with pytest.raises(InvalidInputError):
        CHECKER.check_schema('{"$ref": "http://127.0.0.1:1/x"}')
    assert problems({"$id": "http://127.0.0.1:1/", "default": {"$ref": "http://127.0.0.1:1/x"}}, {}) == []


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both where a type is put and where one is published."""
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    for call in (lambda: CHECKER.check_schema("{}"), lambda: CHECKER.problems("{}", {})):
        with pytest.raises(SchemasMissingError, match=r"pip install 'noteflow-hooks\[schemas\]'"):
            call()


def test_a_panic_of_the_library_is_a_refusal(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is no Exception: in a server it would get past all that catches those. It is logged as a fault of ours."""
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def fail(*_: object, **__: object) -> None:
        raise panic

    monkeypatch.setattr(jsonschema_rs, "Draft202012Validator", fail)
    checker = JsonSchemaChecker()
    with pytest.raises(InvalidInputError, match=r"^schema: can't be checked"):
        checker.check_schema("{}")
    with pytest.raises(InvalidInputError, match=r"^payload: can't be checked"):
        checker.problems("{}", {})
    assert [each.levelname for each in caplog.records] == ["ERROR", "ERROR"]


def test_whoever_stops_a_check_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is neither a panic nor an error goes on its way."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jsonschema_rs, "Draft202012Validator", stop)
    with pytest.raises(KeyboardInterrupt):
        JsonSchemaChecker().check_schema("{}")


def test_compiled_schemas_are_kept_as_far_as_memory_goes() -> None:
    """What was used least lately goes first; what is too large alone is used once and not kept."""
    kept: Kept[str] = Kept(limit_bytes=30)
    made: list[str] = []

    def get(key: str, *, size: int = 10) -> str:
        def make() -> tuple[str, int]:
            made.append(key)
            return key.upper(), size

        return kept.get(key, make)

    assert [get(key) for key in "abcab"] == ["A", "B", "C", "A", "B"]
    assert made == ["a", "b", "c"]
    get("d")
    get("a")
    assert (made, len(kept)) == (["a", "b", "c", "d"], 3)
    get("c")
    assert made[-1] == "c"
    assert get("x", size=31) == "X"
    assert len(kept) == 0
    assert get("a") == "A"


def test_a_schema_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is put and then published."""
    checker = JsonSchemaChecker()
    checker.check_schema("{}")
    monkeypatch.setattr(jsonschema_rs, "Draft202012Validator", None)
    assert checker.problems("{}", {}) == ()


def _bits(count: int) -> str:
    chance = random.Random(1)
    return "".join(chance.choice("01") for _ in range(count))


def _chain(steps: int) -> dict[str, Any]:
    parts = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(steps)}
    return {"$defs": {**parts, f"a{steps}": {"type": "object"}}, "$ref": "#/$defs/a0"}


#: Each is among the most that the bounds let through, with the payload that makes most of it.
COSTLY: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "the heaviest expression": ({"properties": {"a": {"pattern": HEAVY}}}, {"a": _bits(10_000)}),
    "the same, that must not match": ({"properties": {"a": {"not": {"pattern": HEAVY}}}}, {"a": _bits(10_000)}),
    "four expressions": (
        {
            "properties": {
                "a": {"allOf": [{"pattern": f"(?:0?){{30}}0{{30}}x|[01]*1[01]{{30}}{i}"} for i in range(2, 6)]}
            }
        },
        {"a": _bits(10_000)},
    ),
    "64 expressions for names": (
        {"propertyNames": {"not": {"anyOf": [{"pattern": f"k+{i}$"} for i in range(64)]}}},
        {f"k{i}x": 1 for i in range(1_000)},
    ),
    "one of 95 for each value": (
        {"properties": {"a": {"items": {"oneOf": [{"const": i} for i in range(95)]}}}},
        {"a": [94] * 3_300},
    ),
    "values compared 90 times": (
        {"properties": {"a": {"allOf": [{"uniqueItems": True}] * 90}}},
        {"a": [i + 0.5 for i in range(1_400)]},
    ),
    "values beside objects": (
        {"properties": {"a": {"items": {"enum": [{"a": i} for i in range(90)]}}}},
        {"a": [{"a": 90}] * 1_000},
    ),
    "a long list of names": (
        {"properties": {"a": {"items": {"enum": [f"k{i}" for i in range(1_500)]}}}},
        {"a": ["k"] * 2_500},
    ),
    "names that are all missing": (
        {"required": [f"f{i}" for i in range(1_700)]},
        {"a": [{"b": [i]} for i in range(600)]},
    ),
    "names, and nothing else": ({"required": [f"f{i}" for i in range(1_700)]}, {}),
    "what is left over, looked at again": (
        {"allOf": [{"unevaluatedProperties": True}] * 12, "unevaluatedProperties": False},
        {f"k{i}": 1 for i in range(1_000)},
    ),
    "references that double": (_chain(15), {}),
}


@pytest.mark.parametrize("name", COSTLY)
def test_the_costliest_schemas_that_are_taken_stay_below_the_budget(name: str) -> None:
    """To put them, and to check by them what makes most of it."""
    schema, payload = COSTLY[name]
    encode_nested(payload)
    text, unit = json.dumps(schema, separators=(",", ":")), a_unit()
    assert took(lambda: CHECKER.check_schema(text)) < PUT_UNITS * unit
    assert took(lambda: CHECKER.problems(text, payload)) < CHECK_UNITS * unit


@pytest.mark.parametrize("seed", first_of(SEEDS, 2))
def test_of_ten_thousand_fuzzed_schemas_none_raises_anything_else_or_goes_over_its_budget(seed: int) -> None:
    """Both those that are taken, of which there are many, and those that are refused."""
    chance, unit, taken = random.Random(seed), a_unit(), 0
    for _ in range(10_000 // len(SEEDS)):
        text = a_schema(chance)
        verdict: list[bool] = []
        assert took(lambda: verdict.append(_is_taken(text))) < PUT_UNITS * unit, text  # noqa: B023 - called at once
        if verdict[0]:
            taken += 1
            payload = a_payload_for(chance)
            assert took(lambda: CHECKER.problems(text, payload)) < CHECK_UNITS * unit, (text, payload)  # noqa: B023 - as above
    assert taken > 100


def _is_taken(text: str) -> bool:
    try:
        CHECKER.check_schema(CustomEventType.create(uuid4(), "custom.fuzzed", text).schema)
    except InvalidInputError:
        return False
    return True
