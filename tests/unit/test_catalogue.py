"""The catalogue says of every type what its payloads are; its files say the same, and only ever more."""

from __future__ import annotations

import dataclasses
import json
import runpy
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import jsonschema_rs
import pytest
import yaml

from noteflow_hooks.domain import events
from noteflow_hooks.domain.catalogue import CATALOGUE, EventType
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.events import (
    PUBLISHABLE,
    SUBSCRIBABLE,
    MeetingCompletedPayload,
    WebhookEventType,
    WebhookPayload,
)
from noteflow_hooks.domain.payload_versions import FIRST, NEWEST, PAYLOAD_VERSION, VERSIONS, version_sent
from noteflow_hooks.domain.publishing import event_from_json, required_fields
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.key_pairs import generate_key_pair
from noteflow_hooks.signing import generate_secret
from tests.quality.sources import ROOT
from tests.support.builders import NOON, a_delivery, a_webhook
from tests.support.schema_growth import broken_promises

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMAS: Final = ROOT / "schemas"
FILES: Final = sorted(SCHEMAS.glob("*.json"))
KINDS: Final = list(CATALOGUE.values())


def checker(schema: Any) -> jsonschema_rs.Draft202012Validator:  # noqa: ANN401 - a JSON value
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, offline=True)


def document(name: str) -> Any:  # noqa: ANN401 - a YAML value
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_every_type_is_in_it_once_and_by_name() -> None:
    """Those too that nobody can subscribe to."""
    assert list(CATALOGUE) == sorted(WebhookEventType)
    assert [each.name for each in KINDS] == list(CATALOGUE)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_type_says_what_it_is_since_when_and_what_it_looks_like(kind: EventType) -> None:
    """In words that end like sentences; the example fits the schema, and is what would be sent."""
    assert kind.description.endswith(".")
    assert kind.since
    for version in kind.versions:
        schema, example = kind.schema(version), kind.example(version)
        assert json.loads(kind.schema_text(version)) == schema
        assert jsonschema_rs.meta.is_valid(schema)
        checker(schema).validate(example)
        assert json.loads(kind.example_text(version)) == example
        assert schema["examples"] == [example]
        assert schema["properties"].keys() >= example.keys() >= set(schema["required"])
        assert all(each["description"].endswith(".") for each in schema["properties"].values())


@pytest.mark.parametrize("event_type", PUBLISHABLE)
def test_what_publishing_needs_is_what_the_schema_requires(event_type: WebhookEventType) -> None:
    """One class says both; and an example that is published is taken as it is."""
    kind = CATALOGUE[event_type]
    assert [*required_fields(event_type)] == kind.schema(FIRST)["required"][2:]
    text = kind.example_text(FIRST)
    event = event_from_json(uuid4(), uuid4(), event_type, text, idempotency_key=None, now=NOON)
    assert event.payload.decode() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [("title", "x" * 501), ("title", 5), ("duration_seconds", "5"), ("segment_count", 1.5), ("meeting_id", None)],
)
def test_a_payload_that_its_class_would_not_make_does_not_fit(name: str, value: object) -> None:
    """The bounds are those of publishing."""
    kind = CATALOGUE["meeting.completed"]
    assert not checker(kind.schema(FIRST)).is_valid(kind.example(FIRST) | {name: value})


def test_what_a_publisher_adds_fits_as_long_as_it_is_flat() -> None:
    """A reader must not stumble over fields that it doesn't know."""
    kind = CATALOGUE["meeting.completed"]
    check = checker(kind.schema(FIRST))
    assert check.is_valid(kind.example(FIRST) | {"crm": None, "tags": "a,b", "score": 0.5})
    assert not check.is_valid(kind.example(FIRST) | {"tags": ["a"]})


def test_a_shortened_summary_fits() -> None:
    """And nothing but true says that it is."""
    kind = CATALOGUE["summary.generated"]
    check = checker(kind.schema(FIRST))
    assert check.is_valid(kind.example(FIRST) | {"truncated": True})
    assert not check.is_valid(kind.example(FIRST) | {"truncated": False})


def test_the_files_are_what_the_classes_make() -> None:
    """Whoever changes one has made the other anew (`make catalogue`)."""
    generate: Callable[[], dict[Path, str]] = runpy.run_path(str(ROOT / "scripts" / "generate_catalogue.py"))[
        "generate"
    ]
    made = generate()
    assert [path.name for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text] == []
    assert sorted(path for path in made if path.parent == SCHEMAS) == FILES
    assert {path.name for path in made if path.parent == ROOT} == {"asyncapi.yaml", "openapi.yaml"}


RELEASED: Final = sorted((SCHEMAS / "released").glob("*.json"))


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_nothing_but_additions_was_made_since_the_last_release(path: Path) -> None:
    """A type, a version, a field, a rule: what a reader was promised stays. What breaks it needs a new version."""
    now = SCHEMAS / path.name
    assert now.exists(), "it is gone"
    assert list(broken_promises(json.loads(path.read_text("utf-8")), json.loads(now.read_text("utf-8")))) == []


def test_the_last_release_had_all_types_of_its_time() -> None:
    """An empty folder would promise nothing."""
    assert {path.stem for path in RELEASED} >= {
        f"{each.name}.1" for each in CATALOGUE.values() if each.since == "0.1.0"
    }


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda schema: schema["properties"].pop("title"), "title is gone"),
        (lambda schema: schema["properties"]["title"].update(type=["string", "null"]), "title was"),
        (lambda schema: schema["properties"]["title"].update(maxLength=600), "title was {'type': 'string', 'max"),
        (lambda schema: schema["properties"]["segment_count"].pop("minimum"), "segment_count was"),
        (lambda schema: schema["required"].remove("title"), "title may be absent"),
        (lambda schema: schema.update(additionalProperties=False), "additionalProperties was"),
    ],
)
def test_each_thing_that_breaks_a_reader_is_found(change: Callable[[dict[str, Any]], object], found: str) -> None:
    """The comparison itself would miss nothing of what it is there for."""
    old = CATALOGUE["meeting.completed"].schema(FIRST)
    new = deepcopy(old)
    change(new)
    [problem, *_] = broken_promises(old, new)
    assert problem.startswith(found)


def test_a_field_and_other_words_are_additions() -> None:
    """They break nobody."""
    old = CATALOGUE["meeting.completed"].schema(FIRST)
    new = deepcopy(old)
    new["properties"]["language"] = {"type": "string"}
    new["required"].append("language")
    new["properties"]["title"]["description"] = "Other words."
    assert list(broken_promises(old, new)) == []


def test_both_documents_describe_every_type() -> None:
    """AsyncAPI 3 as messages that are sent, OpenAPI 3.1 as webhooks."""
    asyncapi, openapi = document("asyncapi.yaml"), document("openapi.yaml")
    assert asyncapi["asyncapi"].startswith("3.")
    assert openapi["openapi"].startswith("3.1")
    assert list(asyncapi["components"]["messages"]) == list(openapi["webhooks"]) == list(CATALOGUE)
    assert {each["action"] for each in asyncapi["operations"].values()} == {"send"}
    assert all(set(each) == {"post"} for each in openapi["webhooks"].values())
    assert "paths" not in openapi


@pytest.mark.parametrize("name", ["asyncapi.yaml", "openapi.yaml"])
def test_each_reference_of_a_document_leads_somewhere(name: str) -> None:
    """To a place of its own, or to a schema's file."""
    whole = document(name)
    found = list(_references(whole))
    assert len(found) > len(CATALOGUE)
    for reference in found:
        path, _, pointer = reference.partition("#")
        place = whole if not path else json.loads((ROOT / path).read_text("utf-8"))
        for token in pointer.split("/")[1:]:
            place = place[token]
        assert place


def _references(value: object) -> Any:  # noqa: ANN401 - an iterator of texts
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)


def test_the_documents_name_the_headers_that_are_sent() -> None:
    """Those of the signatures are not there without a secret."""
    parameters = document("openapi.yaml")["components"]["parameters"]
    headers = document("asyncapi.yaml")["components"]["schemas"]["headers"]
    assert list(parameters) == list(headers["properties"])
    assert [name for name, each in parameters.items() if each["required"]] == headers["required"]
    assert "X-NoteFlow-Payload-Version" in headers["required"]
    endpoint = PreparedEndpoint(
        a_webhook(secret=generate_secret(), signing=Signing.BOTH, signing_key=generate_key_pair()),
        user_agent="",
        allow_http_loopback=False,
    )
    head = endpoint.usual(a_delivery(), b"{}", NOON, rank=Rank(3, gap=1, is_late=True)).head.decode()
    own = [name for name, *_ in (line.partition(":") for line in head.split("\r\n"))]
    assert [each for each in own if each.lower().startswith(("x-noteflow-", "webhook-"))] == list(parameters)


def test_every_type_has_a_first_version_and_the_newest_is_of_one() -> None:
    """An endpoint may ask for each in between."""
    assert VERSIONS.keys() == set(WebhookEventType)
    assert all(versions == tuple(sorted(set(versions))) and versions[0] == FIRST for versions in VERSIONS.values())
    assert list(PAYLOAD_VERSION) == list(range(FIRST, NEWEST + 1))
    assert all(len(each.payloads) == len(each.versions) for each in KINDS)


@pytest.mark.parametrize(("wanted", "sent"), [(1, 1), (2, 1), (3, 3), (4, 3), (9, 3), (0, 1)])
def test_a_type_without_that_version_is_sent_in_its_nearest_lower_one(wanted: int, sent: int) -> None:
    """What lies below all of them is damaged, and gets the first."""
    assert version_sent("a", wanted, {"a": (1, 3)}) == sent


def test_a_type_of_a_workspace_s_own_has_the_first_version() -> None:
    """And so has what only a newer release knows."""
    assert version_sent("custom.order", NEWEST) == version_sent("meeting.of_2027", NEWEST) == FIRST


def test_every_class_of_payloads_is_in_the_catalogue() -> None:
    """A new one would else be sent and never described."""
    used = {payload for each in KINDS for payload in each.payloads}
    classes = {each for each in vars(events).values() if isinstance(each, type) and issubclass(each, WebhookPayload)}
    assert classes - {WebhookPayload} == used
    assert "title" in {each.name for each in dataclasses.fields(MeetingCompletedPayload)}
    assert set(SUBSCRIBABLE) < set(CATALOGUE)
