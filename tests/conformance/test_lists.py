"""What every list takes beside its page: how ids begin, and a count; and the filters of events. Over every store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter, IdRange, MeetingFilter, WebhookFilter
from noteflow_hooks.domain.replays import Replay
from tests.conformance.model.throttling import claim, dispatch, fail, settle
from tests.support.builders import NOON, a_meeting, an_attempt_result, an_event, hours

if TYPE_CHECKING:
    from tests.conformance.model.world import World

EVERY = DeliveryFilter()
_END = "9e0b-ac1f2a3b4c5d"
A, B, C = (UUID(f"{start}-7bd1-{_END}") for start in ("0192f3c1-8a52", "0192f3c1-8a53", "ff000000-0000"))


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("0", {A, B}),
        ("0192f3c1-8a5", {A, B}),
        ("0192f3c1-8a52", {A}),
        (str(B), {B}),
        ("f", {C}),
        ("0192f3c1-8a54", set()),
        ("1", set()),
    ],
)
def test_a_list_has_those_whose_ids_begin_so(world: World, prefix: str, found: set[UUID]) -> None:
    """Of the workspace's own, in its pages as in its count."""
    workspace_id, ids = world.workspace(), IdRange.of_prefix(prefix)
    for each in (A, B, C):
        world.event(workspace_id, id=each)
    world.event(world.workspace(), id=UUID("0192f3c1-8a52-7bd1-9e0b-ac1f2a3b4c60"))
    with world.units() as unit:
        assert {each.id for each in unit.events.list_page(workspace_id, limit=9, ids=ids)} == found
        assert unit.events.count(workspace_id, ids=ids) == len(found)


def test_events_are_found_by_type_meeting_and_time(world: World) -> None:
    """Together where several are given."""
    workspace_id = world.workspace()
    first = world.event(workspace_id, event_type="recording.started", meeting_id="m-1")
    second = world.event(workspace_id, event_type="recording.stopped", meeting_id="m-1")
    third = world.event(workspace_id, event_type="recording.started", meeting_id="m-2")
    cases = {
        EventFilter(): [third, second, first],
        EventFilter(event_type="recording.started"): [third, first],
        EventFilter(meeting_id="m-1"): [second, first],
        EventFilter(event_type="recording.started", meeting_id="m-1"): [first],
        EventFilter(created_after=second.created_at): [third, second],
        EventFilter(created_before=second.created_at): [first],
        EventFilter(created_after=second.created_at, created_before=third.created_at): [second],
        EventFilter(meeting_id="other"): [],
    }
    with world.units() as unit:
        for criteria, expected in cases.items():
            assert unit.events.list_page(workspace_id, criteria, limit=9) == expected, criteria
            assert unit.events.count(workspace_id, criteria) == len(expected), criteria


def test_every_list_is_counted_and_narrowed_by_ids(world: World) -> None:
    """With its filters, and the deliveries and events that are not delivered together."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id))
    waiting = world.event(workspace_id)
    with world.units() as unit:
        meeting = unit.meetings.create(a_meeting(workspace_id=workspace_id))
        replay = unit.replays.create(Replay.create(workspace_id, EVERY))
        unit.commit()
    dead, nobody = DeliveryFilter(status=DeliveryStatus.DEAD), IdRange(UUID(int=0), UUID(int=1))
    with world.units() as unit:
        assert unit.webhooks.count(workspace_id) == unit.meetings.count(workspace_id) == 1
        assert unit.replays.count(workspace_id) == unit.deliveries.count(workspace_id, EVERY) == 1
        assert unit.deliveries.count(workspace_id, dead) == 0
        assert unit.deliveries.count_undelivered(workspace_id, EVERY) == 2
        assert unit.deliveries.count_undelivered(workspace_id, DeliveryFilter(webhook_id=webhook.id)) == 1
        for found, listed in (
            (webhook, unit.webhooks.list_page),
            (meeting, unit.meetings.list_page),
            (replay, unit.replays.list_page),
        ):
            own = IdRange(found.id, found.id)
            assert [each.id for each in listed(workspace_id, limit=9, ids=own)] == [found.id]
            assert listed(workspace_id, limit=9, ids=nobody) == []
        for ids, expected in ((IdRange(delivery.id, delivery.id), [delivery.id]), (nobody, [])):
            page = unit.deliveries.list_page(workspace_id, EVERY, limit=9, ids=ids)
            undelivered = unit.deliveries.undelivered_page(workspace_id, EVERY, limit=9, ids=ids)
            assert [each.id for each in page] == [each.id for each in undelivered] == expected
            assert unit.deliveries.count(workspace_id, EVERY, ids=ids) == len(expected)
            assert unit.deliveries.count_undelivered(workspace_id, EVERY, ids=ids) == len(expected)
        [only] = unit.deliveries.undelivered_page(workspace_id, EVERY, limit=9, ids=IdRange(waiting.id, waiting.id))
        assert (only.event_id, only.delivery) == (waiting.id, None)
        for count in (unit.webhooks.count, unit.meetings.count, unit.replays.count):
            assert count(workspace_id, ids=nobody) == 0


def test_endpoints_are_listed_by_their_state_and_by_what_stands_in_name_or_host(world: World) -> None:
    """In upper or lower case; the rest of a URL is never looked at, since it may be a credential."""
    workspace_id = world.workspace()
    urls = ("https://crm.example/s3cret?key=T0ken", "https://[2001:db8::7]:8443/", "https://pay.example:9443/crm")
    crm, six, pay = (
        world.webhook(workspace_id, url=url, name=name)
        for url, name in zip(urls, ("Sales", "Ümlaut", "P%y"), strict=True)
    )
    world.change(replace(six, paused_at=NOON))
    world.change(replace(pay, enabled=False, paused_at=NOON))
    world.webhook(world.workspace(), name="Sales")
    cases = {
        WebhookFilter(): [pay, six, crm],
        WebhookFilter(state=EndpointState.HEALTHY): [crm],
        WebhookFilter(state=EndpointState.PAUSED): [six],
        WebhookFilter(state=EndpointState.DISABLED): [pay],
        WebhookFilter(state=EndpointState.FAILING): [],
        WebhookFilter(text="SAL"): [crm],
        WebhookFilter(text="CRM.exa"): [crm],
        WebhookFilter(text="ümlaut"): [six],
        WebhookFilter(text="Ümlaut"): [six],
        WebhookFilter(text="2001:db8::7"): [six],
        WebhookFilter(text="example"): [pay, crm],
        WebhookFilter(text="example", state=EndpointState.DISABLED): [pay],
        WebhookFilter(text="%"): [pay],
        WebhookFilter(text="s3cret"): [],
        WebhookFilter(text="t0ken"): [],
        WebhookFilter(text="9443"): [],
        WebhookFilter(text="https"): [],
    }
    with world.units() as unit:
        for criteria, expected in cases.items():
            page = unit.webhooks.list_with_health(workspace_id, criteria, limit=9)
            assert [each.id for each, _ in page] == [each.id for each in expected], criteria
            assert unit.webhooks.count(workspace_id, criteria) == len(expected), criteria


def test_an_endpoint_s_state_follows_how_it_does(world: World) -> None:
    """A failed attempt makes it failing, a success healthy again."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)

    def states() -> list[EndpointState]:
        with world.units() as unit:
            return [
                state
                for state in EndpointState
                if unit.webhooks.list_with_health(workspace_id, WebhookFilter(state=state), limit=9)
            ]

    assert states() == [EndpointState.HEALTHY]
    fail(world, webhook, 1)
    assert states() == [EndpointState.FAILING]
    dispatch(world, webhook)
    settle(world, list(claim(world)), an_attempt_result())
    assert states() == [EndpointState.HEALTHY]


def test_meetings_are_listed_by_state_title_and_time(world: World) -> None:
    """In upper or lower case; one without a title has no text."""
    workspace_id = world.workspace()
    made = [
        world.meeting(workspace_id, title=title, created_at=NOON + hours(nth))
        for nth, title in enumerate(("Weekly", "WEEKLY again", None))
    ]
    with world.units() as unit:
        unit.meetings.complete(made[0].id)
        unit.commit()
    weekly, again, untitled = (each.id for each in made)
    cases = {
        MeetingFilter(): [untitled, again, weekly],
        MeetingFilter(state=MeetingState.ACTIVE): [untitled, again],
        MeetingFilter(state=MeetingState.COMPLETED): [weekly],
        MeetingFilter(text="weekly"): [again, weekly],
        MeetingFilter(text="Y A"): [again],
        MeetingFilter(text="_"): [],
        MeetingFilter(created_after=NOON + hours(1)): [untitled, again],
        MeetingFilter(created_before=NOON + hours(1)): [weekly],
        MeetingFilter(created_after=NOON, created_before=NOON + hours(2), text="we", state=MeetingState.ACTIVE): [
            again
        ],
    }
    with world.units() as unit:
        for criteria, expected in cases.items():
            assert [each.id for each in unit.meetings.list_page(workspace_id, criteria, limit=9)] == expected, criteria
            assert unit.meetings.count(workspace_id, criteria) == len(expected), criteria


def test_counting_ends_where_it_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace with millions of rows is not read from end to end for a figure."""
    for module in ("persistence.sql.paging", "persistence.memory.tables"):
        monkeypatch.setattr(f"noteflow_hooks.{module}.MAX_TOTAL", 3)
    workspace_id = world.workspace()
    with world.units() as unit:
        for _ in range(4):
            unit.events.append(an_event(workspace_id=workspace_id))
        unit.commit()
    with world.units() as unit:
        assert unit.events.count(workspace_id) == 3
        assert unit.deliveries.count_undelivered(workspace_id, EVERY) == 3
