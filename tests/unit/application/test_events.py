"""Events that another server publishes: stored once for a key, announced once, and erased on request."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.application.events import erase_meeting, publish_event, read_event
from noteflow_hooks.domain.paging import Page, Position
from noteflow_hooks.errors import AlreadyExistsError, InvalidInputError
from tests.support.builders import a_payload

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from tests.support.application_world import World


def publish(world: World, payload: str, *, key: str | None = None, event_type: str = "meeting.completed") -> Event:
    """Publish in a unit of work of its own."""
    return world.do(
        lambda unit: publish_event(
            unit, world.service, world.workspace.id, event_type, payload, idempotency_key=key, now=world.now
        )
    )


def test_a_published_event_is_stored_and_announced(world: World) -> None:
    """It happened now, where the publisher doesn't say when."""
    event = publish(world, json.dumps(a_payload()))
    assert world.events() == [event]
    assert world.announced == [event.id]
    assert (event.workspace_id, event.occurred_at) == (world.workspace.id, world.now)


def test_a_key_stands_for_one_event(world: World) -> None:
    """The same once more is the same event, announced once; another one under that key is refused."""
    first = publish(world, json.dumps(a_payload()), key="k")
    assert publish(world, json.dumps(a_payload()), key="k") == first
    with pytest.raises(AlreadyExistsError):
        publish(world, json.dumps(a_payload(title="Other")), key="k")
    assert (len(world.events()), world.announced) == (1, [first.id])
    assert publish(world, json.dumps(a_payload())).id != first.id


@pytest.mark.parametrize(
    ("payload", "event_type", "field"),
    [("no", "meeting.completed", "payload_json"), ("{}", "webhook.test", "event_type"),
     ("{}", "meeting.completed", "payload_json.meeting_id")],
)  # fmt: skip
def test_what_can_t_be_published_is_refused_by_its_field(
    world: World, payload: str, event_type: str, field: str
) -> None:
    """And nothing is stored."""
    with pytest.raises(InvalidInputError, match=f"^{field}"):
        publish(world, payload, event_type=event_type)
    assert (world.events(), world.announced) == ([], [])


def test_erasing_a_meeting_counts_its_events_and_what_waited(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Another meeting's stay; it is logged once it is so."""
    caplog.set_level(logging.INFO)
    world.delivery(world.webhook())
    other = publish(world, json.dumps(a_payload(meeting_id="m-2")))
    with world.unit() as unit:
        erase_meeting(unit, world.workspace.id, "m-1")
    assert "erased" not in caplog.text
    assert world.do(lambda unit: erase_meeting(unit, world.workspace.id, "m-1")) == (1, 1)
    assert "meeting 'm-1': 1 payloads erased on request, 1 deliveries skipped" in caplog.messages
    assert [each.payload_erased_at is None for each in world.events()] == [False, True]
    assert world.events()[1].id == other.id
    assert world.do(lambda unit: erase_meeting(unit, world.workspace.id, "m-1")) == (0, 0)


def test_an_event_s_deliveries_are_with_its_first_page_of_endpoints(world: World) -> None:
    """A later page has endpoints alone: the deliveries were shown before."""
    event_id = world.delivery(world.webhook()).event_id
    first = world.do(lambda unit: read_event(unit, world.workspace.id, event_id, Page(10)))
    later = Page(10, Position(world.now, event_id))
    beside = world.do(lambda unit: read_event(unit, world.workspace.id, event_id, later))
    assert (len(first.deliveries), len(beside.deliveries)) == (1, 0)
