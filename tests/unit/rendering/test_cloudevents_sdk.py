"""CloudEvents' own SDK reads what we render, in both modes, and finds what was meant; code that is not ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event
from cloudevents.core.exceptions import CloudEventValidationError

from noteflow_hooks.rendering.cloudevents import render_cloudevents, render_cloudevents_binary
from tests.support.golden import OCCURRED_AT, an_occurrence, occurrences

if TYPE_CHECKING:
    from cloudevents.core.base import BaseCloudEvent

    from noteflow_hooks.rendering.occurrence import Rendered, Renderer

_BOTH: Final = (render_cloudevents, render_cloudevents_binary)


def read(rendered: Rendered) -> BaseCloudEvent:
    """Return the event as the SDK reads it of the request; what breaks its rules raises."""
    return from_http_event(
        HTTPMessage({"content-type": rendered.content_type, **dict(rendered.headers)}, rendered.body)
    )


@pytest.mark.parametrize("render", _BOTH)
@pytest.mark.parametrize("name", occurrences())
def test_the_sdk_reads_each_type(render: Renderer, name: str) -> None:
    """Custom ones too, and a meeting's id that no header has as it is."""
    occurrence = occurrences()[name]
    event = read(render(occurrence))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(occurrence.event_id)
    assert event.get_source() == f"/noteflow/workspaces/{occurrence.workspace_id}"
    assert event.get_type() == occurrence.event_type
    assert event.get_subject() == occurrence.meeting_id
    assert event.get_time() == occurrence.occurred_at
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == json.loads(occurrence.payload)


@pytest.mark.parametrize("name", occurrences())
def test_our_headers_are_those_that_the_sdk_would_send(name: str) -> None:
    """Value by value, as the binding has them encoded; but for whole seconds, which we write as any other time."""
    rendered = render_cloudevents_binary(occurrences()[name])
    sent = {key.lower(): value for key, value in to_binary_event(read(rendered)).headers.items()}
    ours = {"content-type": rendered.content_type, **dict(rendered.headers)}
    assert sent | {"ce-time": ours["ce-time"]} == ours


def test_the_sdk_refuses_what_breaks_its_rules() -> None:
    """So what it reads above was looked at."""
    rendered = render_cloudevents(an_occurrence())
    broken = rendered.body.replace(b'"subject":"m-2031"', b'"subject":""')
    with pytest.raises(CloudEventValidationError):
        from_http_event(HTTPMessage({"content-type": rendered.content_type}, broken))
    assert read(rendered).get_time() == OCCURRED_AT
