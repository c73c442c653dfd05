"""Events that another server publishes: stored once for a key, announced once, and erased on request."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.application.events import accepted, erase_meeting, new_event, read_event
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.domain.paging import Page, Position
from noteflow_hooks.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnavailableError
from tests.support.builders import BY, a_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.events import Event
    from tests.support.application_world import World


def publish(world: World, payload: str, *, key: str | None = None, event_type: str = "meeting.completed") -> Event:
    """Publish an event by itself."""
    event = new_event(world.workspace.id, event_type, payload, idempotency_key=key, now=world.now)
    [outcome] = world.service.publish_all([event])
    return accepted(outcome)


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


def test_a_group_is_announced_at_once_and_fails_by_its_members_alone(world: World) -> None:
    """What was there is not announced again; what can't be stored is an error in its place."""
    first = publish(world, json.dumps(a_payload()), key="k")
    world.announced.clear()
    again, other, elsewhere, new = (
        new_event(
            world.workspace.id,
            "meeting.completed",
            json.dumps(a_payload(title=title)),
            now=world.now,
            idempotency_key=key,
        )
        for title, key in (
            ("Weekly", "k"),
            ("Other", "k"),
            ("x", None),
            ("y", None),
        )
    )
    elsewhere = replace(elsewhere, workspace_id=uuid4())
    outcomes = world.service.publish_all([replace(again, request_digest=first.request_digest), other, elsewhere, new])
    assert outcomes[0] == first
    assert isinstance(outcomes[1], AlreadyExistsError)
    assert isinstance(outcomes[2], NotFoundError)
    assert world.events() == [first, outcomes[3]]
    assert world.announced == [new.id]


def test_a_group_that_is_lost_with_its_database_is_unavailable_as_a_whole(world: World) -> None:
    """What was stored before it was lost is answered all the same."""
    stored: list[int] = []

    def store(events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        stored.append(len(events))
        if len(events) > 1:
            raise ValueError("apart")
        if len(stored) > 4:
            raise UnavailableError
        return events

    service = WebhookService(world.unit, world.announced.extend, store_events=store)
    events = [
        new_event(world.workspace.id, "meeting.completed", json.dumps(a_payload()), now=world.now) for _ in range(3)
    ]
    *others, last = service.publish_all(events)
    assert others == events[:2]
    assert isinstance(last, UnavailableError)
    assert world.announced == [each.id for each in events[:2]]
    with pytest.raises(UnavailableError):
        service.publish_all(events[:1])


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
        erase_meeting(unit, world.workspace.id, "m-1", by=BY)
    assert "erased" not in caplog.text
    assert world.do(lambda unit: erase_meeting(unit, world.workspace.id, "m-1", by=BY)) == (1, 1)
    assert "meeting 'm-1': 1 payloads erased on request, 1 deliveries skipped" in caplog.messages
    assert [each.payload_erased_at is None for each in world.events()] == [False, True]
    assert world.events()[1].id == other.id
    assert world.do(lambda unit: erase_meeting(unit, world.workspace.id, "m-1", by=BY)) == (0, 0)


def test_an_event_s_deliveries_are_with_its_first_page_of_endpoints(world: World) -> None:
    """A later page has endpoints alone: the deliveries were shown before."""
    event_id = world.delivery(world.webhook()).event_id
    first = world.do(lambda unit: read_event(unit, world.workspace.id, event_id, Page(10)))
    later = Page(10, Position(world.now, event_id))
    beside = world.do(lambda unit: read_event(unit, world.workspace.id, event_id, later))
    assert (len(first.deliveries), len(beside.deliveries)) == (1, 0)
