"""CloudEvents' attributes, in both modes, by the words of its specification."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import unquote

import pytest

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.rendering.cloudevents import render_cloudevents, render_cloudevents_binary
from tests.support.golden import EVENT_ID, WORKSPACE_ID, an_occurrence

_ODD: Final = ('Über "100 %"', "a b", "会議", "𝔪", "%41", "\u2028", "x" * 255)


@pytest.mark.parametrize("event_type", [*CATALOGUE, "custom.deal.won"])
def test_both_modes_have_the_same_attributes(event_type: str) -> None:
    """In headers each has ``ce-`` before it, and the content's type is the request's own."""
    structured = json.loads(render_cloudevents(an_occurrence(event_type)).body)
    binary = render_cloudevents_binary(an_occurrence(event_type))
    attributes = {name.removeprefix("ce-"): unquote(value) for name, value in binary.headers}
    assert attributes | {"datacontenttype": binary.content_type} == {
        name: value for name, value in structured.items() if name != "data"
    }
    assert structured["data"] == json.loads(binary.body)


def test_the_attributes_say_what_where_and_of_what() -> None:
    """The id is the event's, so that a receiver can tell a repetition; the source is its workspace."""
    made = json.loads(render_cloudevents(an_occurrence()).body)
    del made["data"]
    assert made == {
        "specversion": "1.0",
        "id": str(EVENT_ID),
        "source": f"/noteflow/workspaces/{WORKSPACE_ID}",
        "type": "meeting.completed",
        "time": "2026-01-31T12:00:00.123456Z",
        "subject": "m-2031",
        "dataschema": "urn:noteflow:schema:meeting.completed:1",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize("event_type", CATALOGUE)
def test_the_schema_s_address_is_its_id(event_type: str) -> None:
    """Of the version that is sent: a validator that has read ``schemas/`` finds it."""
    for version in CATALOGUE[event_type].versions:
        made = json.loads(render_cloudevents(an_occurrence(event_type, version)).body)
        assert made["dataschema"] == CATALOGUE[event_type].schema(version)["$id"]


def test_a_workspace_s_own_type_names_no_schema() -> None:
    """It may be replaced under the same name, and an address stands for one schema for good."""
    assert "dataschema" not in json.loads(render_cloudevents(an_occurrence("custom.deal.won")).body)


@pytest.mark.parametrize("meeting_id", [None, "", "a\nb", "\x7f", "\ufdd0", "\U0010ffff"])
def test_a_subject_that_no_attribute_may_be_is_left_out(meeting_id: str | None) -> None:
    """The payload has the meeting's id all the same."""
    for render in (render_cloudevents, render_cloudevents_binary):
        rendered = render(an_occurrence(meeting_id=meeting_id))
        assert "subject" not in dict(rendered.headers) | json.loads(rendered.body)
        assert "ce-subject" not in dict(rendered.headers)


@pytest.mark.parametrize("meeting_id", _ODD)
def test_a_header_s_value_is_percent_encoded(meeting_id: str) -> None:
    """What is no visible ASCII, the double quote and the percent sign, as UTF-8; and nothing else."""
    subject = dict(render_cloudevents_binary(an_occurrence(meeting_id=meeting_id)).headers)["ce-subject"]
    assert unquote(subject) == meeting_id
    assert all(0x21 <= ord(each) <= 0x7E and each != '"' for each in subject)


def test_what_need_not_be_encoded_stays() -> None:
    """Of visible ASCII only two are: an encoded slash is another subject to some readers."""
    visible = "".join(chr(each) for each in range(0x21, 0x7F))
    subject = dict(render_cloudevents_binary(an_occurrence(meeting_id=visible)).headers)["ce-subject"]
    assert subject == visible.replace("%", "%25").replace('"', "%22")
