"""A type of a workspace's own: what it may be called, what its publisher may say, and what its schema is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.event_types import TYPES_LIMIT, CustomEventType, check_custom_name, check_room
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.domain.payloads import DEPTH_LIMIT, PAYLOAD_LIMIT_BYTES
from noteflow_hooks.domain.publishing import custom_event_from_json
from noteflow_hooks.domain.schema_bounds import SCHEMA_LIMIT_BYTES
from noteflow_hooks.domain.webhooks import check_events
from noteflow_hooks.errors import InvalidInputError, LimitError
from noteflow_hooks.schemas import JsonSchemaChecker
from tests.support.builders import NOON, a_webhook

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event

NAME: Final = "custom.order_paid"
ORDER: Final = {
    "type": "object",
    "required": ["order"],
    "properties": {
        "order": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "total": {"minimum": 0}},
        }
    },
    "additionalProperties": False,
}


def a_type(schema: object = ORDER, **fields: Any) -> CustomEventType:  # noqa: ANN401 - the type's own
    return CustomEventType.create(uuid4(), **{"name": NAME, "schema": json.dumps(schema), **fields})


def published(payload: object, *, schema: object = ORDER, key: str | None = None) -> Event:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return custom_event_from_json(
        uuid4(), text, kind=a_type(schema), checker=JsonSchemaChecker(), idempotency_key=key, now=NOON
    )


def violations(payload: object, *, schema: object = ORDER) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInputError) as caught:
        published(payload, schema=schema)
    return list(caught.value.violations)


@pytest.mark.parametrize("name", ["custom.a", "custom.order_paid", "custom.crm.deal.won2", "custom." + "x" * 121])
def test_such_a_name_is_one(name: str) -> None:
    """It can be subscribed to, and an endpoint that does gets its events."""
    assert check_custom_name("name", name) == name
    assert check_events([name]) == (name,)
    assert a_webhook(events=(name,)).subscribes_to(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "custom", "custom.", "custom.A", "custom.a b", "custom.a..b", "custom.a.", "order", "Custom.a", "custom.é",
        "custom.a\r\nX-Evil: 1", "custom.a\n", "custom.a-b", "custom." + "x" * 122, "customs.a", "meeting.completed",
    ],
)  # fmt: skip
def test_such_a_name_is_none_and_the_refusal_says_what_is_allowed(name: str) -> None:
    """Among them whatever would end a header's line, and ours."""
    assert not is_custom(name)
    with pytest.raises(InvalidInputError, match=r"^name: .*allowed are custom\. and words of a-z, 0-9 and _"):
        check_custom_name("name", name)


def test_all_that_is_wrong_with_a_type_is_said_at_once() -> None:
    """Each by its field."""
    with pytest.raises(InvalidInputError) as caught:
        a_type([], name="x", description="d" * 1001, example="{")
    assert [field for field, _ in caught.value.violations] == ["name", "schema", "description", "example"]


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "true", "{", '{"a": 1, "a": 2}', '{"maximum": NaN}', '{"title": "\\u0000"}\x00']
)
def test_a_schema_is_one_json_object(text: str) -> None:
    """As strictly read as a payload."""
    with pytest.raises(InvalidInputError, match=r"^schema: "):
        CustomEventType.create(uuid4(), NAME, text)


def test_a_schema_has_16_kib() -> None:
    """Counted in bytes of the text as it was given."""
    fits = json.dumps({"description": "x" * (SCHEMA_LIMIT_BYTES - len('{"description": ""}'))})
    assert CustomEventType.create(uuid4(), NAME, fits).schema == fits
    with pytest.raises(InvalidInputError, match=r"^schema: has 16385 bytes; at most 16384 are allowed$"):
        CustomEventType.create(uuid4(), NAME, fits + " ")


def test_a_workspace_has_100_at_the_most() -> None:
    """The hundredth fits."""
    check_room(TYPES_LIMIT - 1)
    with pytest.raises(LimitError, match="at most 100 are allowed"):
        check_room(TYPES_LIMIT)


def test_a_payload_is_sent_as_it_was_given_behind_the_base_fields() -> None:
    """Nested as it is."""
    event = published({"order": {"id": "o-1", "total": 1.50}})
    assert event.payload == (
        b'{"event":"custom.order_paid","timestamp":"2024-01-31T12:00:00+00:00","order":{"id":"o-1","total":1.5}}'
    )
    assert (event.event_type, event.occurred_at, event.meeting_id) == (NAME, NOON, None)


def test_what_breaks_the_schema_is_named_by_its_path() -> None:
    """All of it at once; what is missing by its own name. No value is repeated."""
    schema = ORDER | {"properties": {**ORDER["properties"], "tags": {"items": {"type": "string"}}}}  # type: ignore[dict-item]  # a JSON value
    found = dict(violations({"order": {"total": -17}, "tags": ["a", 4242]}, schema=schema))
    assert found["order.id"] == "is missing"
    assert found.keys() == {"order.id", "order.total", "tags[1]"}
    assert "17" not in str(found.values())
    assert "4242" not in str(found)


@pytest.mark.parametrize(
    ("schema", "payload", "fits"),
    [
        ({"additionalProperties": False, "properties": {"a": True}}, {"a": 1}, True),
        (
            {"additionalProperties": False, "properties": {"a": True}},
            {"a": 1, "timestamp": "2024-01-31T12:00:00Z"},
            True,
        ),
        ({"required": ["event", "timestamp"]}, {}, True),
        ({"properties": {"event": {"const": NAME}}}, {}, True),
        ({"properties": {"event": {"const": "other"}}}, {}, False),
        ({"properties": {"timestamp": {"pattern": "Z$"}}}, {"timestamp": "2024-01-31T12:00:00Z"}, False),
    ],
    ids=range(6),
)
def test_base_fields_are_shown_to_a_schema_that_names_them(schema: object, payload: object, fits: bool) -> None:  # noqa: FBT001 - a parameter
    """So one of the publisher's fields alone can be strict, and one of what is sent can be one, too."""
    if fits:
        published(payload, schema=schema)
    else:
        violations(payload, schema=schema)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ("{", "payload_json"),
        ("[]", "payload_json"),
        ('{"a": 1, "a": 1}', "payload_json"),
        ({"event": "meeting.completed"}, "event"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"meeting_id": 5}, "meeting_id"),
        ({"meeting_id": "x" * 256}, "meeting_id"),
        ({"a": {"b": [2**64]}}, "b"),
        ({"a": ["\ud800"]}, "a"),
        ({"a": {"\x00": 1}}, "payload field name"),
        ('{"a": [1e999]}', "a"),
    ],
    ids=range(11),
)
def test_what_no_payload_may_hold_is_refused_at_any_depth(payload: object, field: str) -> None:
    """As in a flat one: never later."""
    assert field in dict(violations(payload, schema={}))


def test_a_payload_is_at_most_32_deep() -> None:
    """Itself included."""

    def nested(levels: int) -> str:
        return '{"a":' * levels + "1" + "}" * levels

    published(nested(DEPTH_LIMIT), schema={})
    assert violations(nested(DEPTH_LIMIT + 1), schema={}) == [("payload", "is nested more than 32 deep")]
    assert violations('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", schema={})[0][0] in {"payload_json", "payload"}


def test_nothing_is_shortened() -> None:
    """Not even a field that is called as the one of ours that is."""
    payload = {"executive_summary": "x" * PAYLOAD_LIMIT_BYTES}
    [(field, problem)] = violations(payload, schema={})
    assert field == "payload"
    assert "at most 10240 are allowed" in problem


def test_what_is_too_large_is_never_shown_to_a_schema() -> None:
    """What a check may cost is counted for what may be sent."""

    class Refusing(JsonSchemaChecker):
        def problems(self, text: str, payload: dict[str, Any]) -> list[InvalidInputError]:
            raise AssertionError(text, payload)

    with pytest.raises(InvalidInputError, match="at most 10240"):
        custom_event_from_json(
            uuid4(),
            json.dumps({"a": "x" * 20_000}),
            kind=a_type({}),
            checker=Refusing(),
            idempotency_key=None,
            now=NOON,
        )


def test_a_meeting_that_the_payload_names_is_the_event_s() -> None:
    """Who erases the meeting's payloads erases this one."""
    assert published({"meeting_id": "m-7"}, schema={}).meeting_id == "m-7"


def test_the_same_values_under_a_key_have_the_same_digest() -> None:
    """Whatever their order, and when they were published."""
    one, same, other = (
        published(each, schema={}, key="k") for each in ('{"a":1,"b":[2]}', '{"b":[2],"a":1}', '{"a":1}')
    )
    assert one.request_digest == same.request_digest != other.request_digest
    assert published({}, schema={}).request_digest is None
