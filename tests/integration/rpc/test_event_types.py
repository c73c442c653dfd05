"""The catalogue over a real channel: ours and a workspace's own, what is published of those, and what is refused."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.event_types import CustomEventType
from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.domain.payload_versions import FIRST, NEWEST
from noteflow_hooks.persistence.memory.event_types import InMemoryEventTypeRepository
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.no_schemas import NoSchemas
from tests.integration.rpc.world import World, refused
from tests.quality.sources import ROOT
from tests.support.builders import a_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG: Final = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND: Final = grpc.StatusCode.NOT_FOUND
NOT_NOW: Final = grpc.StatusCode.FAILED_PRECONDITION
NAME: Final = "custom.order_paid"
SCHEMA: Final = json.dumps(
    {
        "type": "object",
        "required": ["order_id", "total"],
        "properties": {
            "order_id": {"type": "string", "pattern": "^o-[0-9]+$"},
            "total": {"type": "number", "minimum": 0},
            "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
        },
        "additionalProperties": False,
    }
)
ORDER: Final[dict[str, Any]] = {"order_id": "o-17", "total": 12.5, "lines": [{"sku": "a"}]}


def put(world: World, name: str = NAME, schema: str = SCHEMA, **fields: Any) -> pb.EventType:
    return world.client.events.PutEventType(pb.PutEventTypeRequest(name=name, schema=schema, **fields))


def get(world: World, name: str = NAME, **fields: Any) -> pb.EventType:
    return world.client.events.GetEventType(pb.GetEventTypeRequest(name=name, **fields))


def listed(world: World) -> list[pb.EventType]:
    return list(world.client.events.ListEventTypes(pb.ListEventTypesRequest()).event_types)


def delete(world: World, name: str = NAME) -> None:
    world.client.events.DeleteEventType(pb.DeleteEventTypeRequest(name=name))


def a_request(payload: object = ORDER, event_type: str = NAME, **fields: Any) -> pb.PublishEventRequest:
    return pb.PublishEventRequest(event_type=event_type, payload_json=json.dumps(payload), **fields)


def publish(world: World, payload: object = ORDER, event_type: str = NAME, **fields: Any) -> pb.Event:
    return world.client.events.PublishEvent(a_request(payload, event_type, **fields))


def violations(world: World, payload: object) -> dict[str, str]:
    """Return the fields at fault, as the details of the refusal name them."""
    result = world.client.events.PublishEvents(pb.PublishEventsRequest(requests=[a_request(payload)])).results[0]
    [wrong] = [each for each in result.status.details if each.Is(error_details_pb2.BadRequest.DESCRIPTOR)]
    found = error_details_pb2.BadRequest()
    wrong.Unpack(found)
    return {each.field: each.description for each in found.field_violations}


def test_the_catalogue_lists_ours_as_the_files_say(world: World) -> None:
    """Name, description, since, whether it is to go, schema and example of each."""
    found = listed(world)
    assert [each.name for each in found] == list(CATALOGUE) == sorted(WebhookEventType)
    for each in found:
        text = (ROOT / "schemas" / f"{each.name}.{each.payload_version}.json").read_text("utf-8")
        assert json.loads(each.schema) == json.loads(text)
        assert json.loads(each.example) == json.loads(text)["examples"][0]
        assert each.description == json.loads(text)["description"]
        assert (each.since, each.deprecated) == (CATALOGUE[each.name].since, False)
        assert list(each.payload_versions) == [FIRST]
        assert not each.HasField("created_at")
        assert get(world, each.name) == each == get(world, each.name, payload_version=each.payload_version)


def test_an_own_type_is_put_shown_replaced_and_removed(world: World) -> None:
    """It stands behind ours, with its schema to the letter."""
    made = put(world, description="An order was paid.", example=json.dumps(ORDER), deprecated=True)
    assert (made.name, made.schema, made.description) == (NAME, SCHEMA, "An order was paid.")
    assert (json.loads(made.example), made.deprecated, made.since) == (ORDER, True, "")
    assert (made.payload_version, list(made.payload_versions)) == (FIRST, [FIRST])
    assert made.created_at == made.updated_at
    assert get(world) == made == listed(world)[-1]
    again = put(world, schema="{}")
    assert (again.schema, again.description, again.example, again.deprecated) == ("{}", "", "", False)
    assert again.created_at == made.created_at
    delete(world)
    assert [each.name for each in listed(world)] == list(CATALOGUE)
    for call in (get, delete):
        with refused(NOT_FOUND, f"no event type '{NAME}' in this workspace"):
            call(world)


def test_another_workspace_has_nothing_of_it(world: World) -> None:
    """Neither to look at, nor to publish, to subscribe to, or to remove."""
    put(world)
    with world.stranger() as stranger:
        assert len(stranger.events.ListEventTypes(pb.ListEventTypesRequest()).event_types) == len(CATALOGUE)
        with refused(NOT_FOUND):
            stranger.events.GetEventType(pb.GetEventTypeRequest(name=NAME))
        with refused(NOT_FOUND):
            stranger.events.DeleteEventType(pb.DeleteEventTypeRequest(name=NAME))
        with refused(WRONG, "event_type", "can't be published"):
            stranger.events.PublishEvent(a_request())
        with refused(WRONG, "events", "can't be subscribed to"):
            stranger.webhooks.RegisterWebhook(pb.RegisterWebhookRequest(url="https://receiver.example/", events=[NAME]))
    assert get(world).name == NAME


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "order"}, ("name: 'order' is no name", "custom. and words of a-z, 0-9 and _")),
        ({"name": "meeting.completed"}, ("name: 'meeting.completed' is no name",)),
        ({"schema": "{"}, ("schema: must be one JSON object",)),
        ({"schema": '{"type": "strin"}'}, ("schema: is no JSON Schema 2020-12",)),
        (
            {"schema": json.dumps({"description": "x" * 16_384})},
            ("schema: has 16403 bytes; at most 16384 are allowed",),
        ),
        (
            {"schema": '{"$ref": "https://evil.example/"}'},
            ("schema: refers to 'https://evil.example/'", "#/$defs/name"),
        ),
        ({"schema": '{"$ref": "#"}'}, ("schema: refers to itself",)),
        ({"schema": '{"pattern": "(a)\\\\1"}'}, ("schema: has a regular expression", "linear time")),
        ({"description": "x" * 1_001}, ("description: has 1001 characters; at most 1000 are allowed",)),
        ({"example": "[]"}, ("example: must be one JSON object",)),
        ({"example": '{"order_id": "o-1"}'}, ("example.total: is missing",)),
        ({"name": "x", "schema": "x", "example": "x"}, ("name:", "schema:", "example:")),
    ],
    ids=range(12),
)
def test_a_refusal_names_the_field_and_what_is_allowed(
    world: World, fields: dict[str, str], words: tuple[str, ...]
) -> None:
    """And nothing is stored."""
    with refused(WRONG, *words):
        put(world, **{"example": json.dumps(ORDER), **fields})
    assert len(listed(world)) == len(CATALOGUE)


def test_the_hundred_and_first_is_refused(world: World) -> None:
    """With the limit; one that is there may be replaced."""
    for number in range(100):
        put(world, f"custom.t{number}", "{}")
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 100 are allowed"):
        put(world)
    put(world, "custom.t99")
    assert len(listed(world)) == len(CATALOGUE) + 100


def test_the_largest_catalogue_fits_into_one_answer(world: World) -> None:
    """A hundred types of the largest size: gRPC's clients take 4 MiB."""
    example = json.dumps({"a": "x" * 10_000})
    schema = json.dumps({"description": "x" * 16_360})
    for number in range(100):
        put(world, f"custom.t{number}", schema, description="\u20ac" * 1_000, example=example)
    assert len(listed(world)) == len(CATALOGUE) + 100


@pytest.mark.parametrize("version", [0, NEWEST + 1, -1])
def test_a_version_that_a_type_has_not_is_refused(world: World, version: int) -> None:
    """Ours, and one of the workspace's own."""
    put(world)
    for name in ("meeting.completed", NAME):
        with refused(WRONG, f"payload_version: is {version}; allowed are 1 to 1"):
            get(world, name, payload_version=version)


@pytest.mark.parametrize("name", ["custom.none", "no.such", "custom.", "x" * 255])
def test_a_type_that_is_not_there_is_not_found(world: World, name: str) -> None:
    """Whatever its name looks like."""
    with refused(NOT_FOUND, "name: no event type"):
        get(world, name)


def test_what_fits_is_published_nested_as_it_is(world: World) -> None:
    """Behind the base fields, and announced."""
    put(world)
    event = publish(world, {**ORDER, "timestamp": "2026-01-31T13:00:00+01:00"})
    assert json.loads(event.payload) == {"event": NAME, "timestamp": "2026-01-31T12:00:00+00:00", **ORDER}
    assert (event.event_type, event.HasField("meeting_id")) == (NAME, False)
    assert [str(each) for each in world.announced] == [event.id]


def test_what_does_not_fit_is_refused_with_every_field_by_its_path(world: World) -> None:
    """Without a value of it."""
    put(world)
    found = violations(world, {"order_id": "canary-4711", "lines": [{"sku": "a"}, {}], "extra": 1})
    assert found == {
        "payload_json.total": "is missing",
        "payload_json.order_id": 'does not match "^o-[0-9]+$"',
        "payload_json.lines[1].sku": "is missing",
        "payload_json.payload": "Additional properties are not allowed ('extra' was unexpected)",
    }
    with refused(WRONG, "payload_json.total: is missing"):
        publish(world, {"order_id": "o-1"})
    assert world.events() == []


def test_a_key_stands_for_one_event_of_an_own_type_too(world: World) -> None:
    """Repeated while the type is there, and refused for another payload."""
    put(world)
    first = publish(world, idempotency_key="k")
    assert publish(world, dict(reversed(ORDER.items())), idempotency_key="k") == first
    with refused(grpc.StatusCode.ALREADY_EXISTS):
        publish(world, {**ORDER, "total": 1}, idempotency_key="k")


def test_a_key_stands_for_its_event_also_when_the_type_is_gone_or_another(world: World) -> None:
    """Who repeats a call whose answer was lost gets that event; another payload is refused as it is without a key."""
    put(world)
    first, timed = publish(world, idempotency_key="k"), {**ORDER, "timestamp": "2026-01-31T12:00:00Z"}
    second = publish(world, timed, idempotency_key="t")

    def repeat() -> None:
        assert publish(world, idempotency_key="k").id == first.id
        assert publish(world, timed, idempotency_key="t").id == second.id
        requests = [a_request(idempotency_key="k"), a_request(), a_request({**ORDER, "total": 1}, idempotency_key="k")]
        results = world.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)).results
        assert [each.WhichOneof("result") for each in results] == ["event", "status", "status"]
        assert results[0].event.id == first.id
        for payload, key in (
            ({**ORDER, "total": 1}, "k"),
            (ORDER, "other"),
            (ORDER, "x" * 256),
            ({"a": "\ud800"}, "k"),
        ):
            with refused(WRONG):
                publish(world, payload, idempotency_key=key)

    put(world, schema='{"required": ["customer"]}')
    repeat()
    delete(world)
    repeat()
    assert len(world.events()) == 2


def test_a_new_schema_counts_from_the_next_call_on(world: World) -> None:
    """Nothing of the one before is kept anywhere."""
    put(world)
    publish(world)
    put(world, schema='{"required": ["customer"]}')
    with refused(WRONG, "payload_json.customer: is missing"):
        publish(world)
    delete(world)
    with refused(WRONG, "event_type", f"'{NAME}' can't be published; allowed: ", "custom.<name>"):
        publish(world)
    put(world)
    publish(world)


def test_in_a_batch_each_event_is_checked_by_its_own_type(world: World) -> None:
    """Ours among them; a bad one fails none of the others, and each type is looked up once."""
    put(world)
    put(world, "custom.other", '{"required": ["a"]}')
    requests = [
        a_request(),
        a_request(a_payload(), "meeting.completed"),
        a_request({}, "custom.other"),
        a_request({}, "custom.none"),
        a_request({"a": [1]}, "custom.other"),
    ]
    results = world.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)).results
    assert [each.WhichOneof("result") for each in results] == ["event", "event", "status", "status", "event"]
    assert "payload_json.a: is missing" in results[2].status.message
    assert "can't be published" in results[3].status.message
    assert world.event_types() == [NAME, "meeting.completed", "custom.other"]


def test_an_own_type_can_be_subscribed_to_while_it_is_there(world: World) -> None:
    """A subscription outlives it, and works again when it is put again."""
    with refused(WRONG, "events", f"'{NAME}' can't be subscribed to", "the workspace's own types"):
        world.a_webhook(events=[NAME])
    put(world)
    webhook = world.a_webhook(events=["meeting.completed", NAME])
    assert list(webhook.events) == [NAME, "meeting.completed"]
    delete(world)
    kept = world.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id))
    assert list(kept.events) == [NAME, "meeting.completed"]
    update = pb.UpdateWebhookRequest(webhook_id=webhook.id, name="Other")
    update.update_mask.paths.append("name")
    assert list(world.client.webhooks.UpdateWebhook(update).events) == [NAME, "meeting.completed"]
    update = pb.UpdateWebhookRequest(webhook_id=webhook.id, events=[NAME])
    update.update_mask.paths.append("events")
    with refused(WRONG, "events", "can't be subscribed to"):
        world.client.webhooks.UpdateWebhook(update)
    put(world)
    assert list(world.client.webhooks.UpdateWebhook(update).events) == [NAME]


def test_the_meeting_that_it_names_is_erased_with_the_meeting_s_other_payloads(world: World) -> None:
    """It is the event's own, and a list's filter."""
    put(world, schema="{}")
    event = publish(world, {"meeting_id": "m-7", "note": "canary"})
    assert event.meeting_id == "m-7"
    erased = world.client.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id="m-7"))
    assert erased.events == 1
    [found] = world.client.events.ListEvents(pb.ListEventsRequest(event_type=NAME, meeting_id="m-7")).events
    assert (found.id, found.payload) == (event.id, "{}")


def test_lists_and_replays_take_the_name_of_an_own_type_even_of_one_that_is_gone(world: World) -> None:
    """Its events are there; what is no name of a type is refused as ever."""
    for event_type in (NAME, "custom.gone"):
        world.client.events.ListEvents(pb.ListEventsRequest(event_type=event_type))
        world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(event_type=event_type))
        world.client.webhooks.ListUndelivered(pb.ListUndeliveredRequest(event_type=event_type))
        replay = world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(event_type=event_type, dry_run=True))
        assert replay.event_type == event_type
    for event_type in ("custom.", "custom.A", "no.such"):
        with refused(WRONG, "event_type"):
            world.client.events.ListEvents(pb.ListEventsRequest(event_type=event_type))


def test_no_payload_and_no_schema_gets_into_a_log_or_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At any level."""
    canary = "canary-51a3"
    with caplog.at_level(logging.DEBUG):
        put(world, schema=json.dumps({"properties": {"a": {"maxLength": 3}}, "$comment": canary}), description=canary)
        publish(world, {"b": canary})
        with pytest.raises(grpc.RpcError) as caught:
            publish(world, {"a": canary})
    assert canary not in str(caught.value.details())
    assert canary not in caplog.text
    assert f"event type {NAME} of workspace {world.workspace_id} put" in caplog.text


@pytest.fixture
def bare() -> Iterator[World]:
    """A server without the library."""
    with World(schemas=NoSchemas()) as running:
        yield running


def test_without_the_library_own_types_are_refused_with_what_to_install(bare: World) -> None:
    """Ours work."""
    with refused(NOT_NOW, "pip install 'noteflow-hooks[schemas]'"):
        put(bare)
    assert len(listed(bare)) == len(CATALOGUE)
    publish(bare, a_payload(), "meeting.completed")


def test_a_payload_is_not_taken_unchecked(bare: World) -> None:
    """Alone, and in a batch, where it fails none of the others."""
    with bare.units() as unit:
        unit.event_types.put(CustomEventType(workspace_id=bare.workspace_id, name=NAME, schema="{}"))
        unit.commit()
    with refused(NOT_NOW, "noteflow-hooks[schemas]"):
        publish(bare)
    requests = [a_request(), a_request(a_payload(), "meeting.completed")]
    results = bare.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)).results
    assert [each.WhichOneof("result") for each in results] == ["status", "event"]
    assert results[0].status.code == NOT_NOW.value[0]
    assert bare.event_types() == ["meeting.completed"]


def test_who_has_no_types_of_its_own_pays_nothing_for_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look into the store more, at publishing and at registering."""

    def look(*_: object) -> None:
        raise AssertionError

    for name in ("get", "get_all"):
        monkeypatch.setattr(InMemoryEventTypeRepository, name, look)
    publish(world, a_payload(), "meeting.completed")
    world.a_webhook(events=["meeting.completed"])
    requests = [a_request(a_payload(), "meeting.completed")] * 3
    assert len(world.client.events.PublishEvents(pb.PublishEventsRequest(requests=requests)).results) == 3
