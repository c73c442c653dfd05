"""What a batch looks like in each format, and that it holds its events as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from noteflow_hooks.domain.batches import BODY_LIMIT, Waiting
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.domain.renderings import NEWEST_RENDERERS
from noteflow_hooks.rendering.batches import BATCH_RENDERERS, Element
from noteflow_hooks.rendering.registry import RENDERERS
from tests.support.builders import NOON
from tests.support.golden import an_occurrence

if TYPE_CHECKING:
    from typing import Any

    from noteflow_hooks.rendering.occurrence import Rendered

BATCH_ID: Final = UUID("0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a93")
DELIVERY_ID: Final = UUID("0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a94")
#: As a batch is written, byte for byte: another one is another renderer's.
GOLDEN: Final = {
    "noteflow": (
        b'{"type":"batch","id":"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a93","events":[{"id":'
        b'"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a91","delivery_id":"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a94",'
        b'"type":"meeting.completed","sequence":7,"gap":2,"data":{"title":"Weekly"}}]}'
    ),
    "standard": (
        b'{"type":"batch","id":"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a93","events":[{"id":'
        b'"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a91","delivery_id":"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a94",'
        b'"type":"meeting.completed","sequence":7,"gap":2,"timestamp":"2026-01-31T12:00:00.123456Z",'
        b'"data":{"title":"Weekly"}}]}'
    ),
    "cloudevents": (
        b'[{"specversion":"1.0","id":"0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a91",'
        b'"source":"/noteflow/workspaces/0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a92","type":"meeting.completed",'
        b'"time":"2026-01-31T12:00:00.123456Z","subject":"m-1",'
        b'"dataschema":"urn:noteflow:schema:meeting.completed:1","datacontenttype":"application/json",'
        b'"data":{"title":"Weekly"}}]'
    ),
}


def an_element(**overrides: Any) -> Element:  # noqa: ANN401 - an occurrence's fields
    fields = {"payload": b'{"title":"Weekly"}', "sequence": 7, "meeting_id": "m-1", **overrides}
    return Element(an_occurrence(**fields), DELIVERY_ID, gap=2)


def rendered(format_: str, *elements: Element) -> Rendered:
    return BATCH_RENDERERS[format_, 1](BATCH_ID, elements)


@pytest.mark.parametrize("format_", GOLDEN)
def test_a_batch_is_written_so_and_in_no_other_way(format_: str) -> None:
    """A change of one byte is a new renderer, since batches are begun with this one."""
    assert rendered(format_, an_element()).body == GOLDEN[format_]


def test_every_format_that_takes_batches_has_its_renderer() -> None:
    """Under each number that the format's own renderers have, and no other format has one."""
    batched = {(format_, number) for format_, number in RENDERERS if Format(format_).takes_batches}
    assert batched == set(BATCH_RENDERERS)
    assert {(each.value, NEWEST_RENDERERS[each]) for each in Format if each.takes_batches} <= batched
    assert {format_ for format_, _ in BATCH_RENDERERS} == {each.value for each in Format if each.takes_batches}


def test_what_it_is_stands_in_its_content_type() -> None:
    """CloudEvents' own for its batches, JSON else."""
    types = {format_: rendered(format_, an_element()).content_type for format_ in GOLDEN}
    assert types == {
        "noteflow": "application/json",
        "standard": "application/json",
        "cloudevents": "application/cloudevents-batch+json",
    }


@pytest.mark.parametrize("format_", GOLDEN)
def test_events_come_in_their_order_with_the_payload_s_bytes(format_: str) -> None:
    """No number, escape or order of keys of a payload is written anew."""
    odd = b'{"n":1.0e+2,"big":123456789012345678901234567890,"u":"\\u00e9\\/","n":2}'
    body = rendered(format_, an_element(), an_element(payload=odd)).body
    assert body.count(odd) == 1
    assert body.index(b"Weekly") < body.index(odd)
    assert len(json.loads(body) if format_ == "cloudevents" else json.loads(body)["events"]) == 2


def test_a_cloudevents_batch_has_each_event_as_it_would_go_alone() -> None:
    """Whoever reads one reads the other."""
    one = an_element()
    assert json.loads(rendered("cloudevents", one).body) == [
        json.loads(RENDERERS["cloudevents", 1](one.occurrence).body)
    ]


def test_an_event_without_a_number_says_so() -> None:
    """The field is there, and null: all elements have one shape."""
    [element] = json.loads(rendered("noteflow", an_element(sequence=None)).body)["events"]
    assert element["sequence"] is None


@pytest.mark.parametrize("format_", GOLDEN)
@pytest.mark.parametrize("meeting_id", ["m-1", "𝔪" * 255, '"\\' * 127, "\u2028" * 255])
def test_an_element_takes_no_more_room_than_is_reserved_for_it(format_: str, meeting_id: str) -> None:
    """So a batch that was put together by these bounds fits into its body."""
    for event_type in ("meeting.completed", "custom." + "x" * 121):
        payload = b'{"x":"%s"}' % (b"y" * (PAYLOAD_LIMIT_BYTES - 8))
        occurrence = an_occurrence(event_type, payload=payload, meeting_id=meeting_id, sequence=2**63 - 1)
        element = Element(occurrence, DELIVERY_ID, gap=2**31 - 1)
        one, two = (len(rendered(format_, *[element] * count).body) for count in (1, 2))
        reserved = Waiting(
            delivery_id=DELIVERY_ID, created_at=NOON, payload_bytes=len(payload), meeting_id=meeting_id
        ).most_bytes
        assert two - one < reserved
        assert one < reserved < BODY_LIMIT
