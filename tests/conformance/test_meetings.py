"""Meetings and their parts, as every store keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.domain.paging import Position
from tests.support.builders import NOON, a_segment, a_summary, hours

if TYPE_CHECKING:
    from tests.conformance.model.world import World


@pytest.mark.parametrize("title", ["Weekly", None])
def test_a_meeting_is_kept_as_given(world: World, title: str | None) -> None:
    """A meeting comes back as it was made, with or without a title, locked or not."""
    meeting = world.meeting(world.workspace(), title=title)
    assert world.read_meeting(meeting) == meeting
    with world.units() as unit:
        assert unit.meetings.get(meeting.workspace_id, meeting.id, lock=True) == meeting


def test_another_workspaces_meeting_is_none(world: World) -> None:
    """A meeting is seen by its own workspace alone."""
    meeting = world.meeting(world.workspace())
    with world.units() as unit:
        assert unit.meetings.get(world.workspace(), meeting.id) is None
        assert unit.meetings.get(meeting.workspace_id, uuid4()) is None


def test_pages_of_meetings_go_from_the_newest_on(world: World) -> None:
    """Pages line up by the meetings' times, and by id within one moment."""
    workspace_id = world.workspace()
    world.meeting(world.workspace())
    made = [world.meeting(workspace_id, created_at=NOON + hours(each // 2)) for each in (4, 0, 3, 1, 2)]
    ordered = sorted(made, key=lambda meeting: (meeting.created_at, meeting.id), reverse=True)
    with world.units() as unit:
        first = unit.meetings.list_page(workspace_id, limit=2)
        position = Position(first[-1].created_at, first[-1].id)
        rest = unit.meetings.list_page(workspace_id, limit=9, after=position)
    assert [*first, *rest] == ordered


def test_a_completed_meeting_has_its_time(world: World) -> None:
    """Completing a meeting says so and when."""
    meeting = world.meeting(world.workspace())
    with world.units() as unit:
        unit.meetings.complete(meeting.id)
        unit.commit()
    stopped = world.read_meeting(meeting)
    assert stopped.state is MeetingState.COMPLETED
    assert stopped.stopped_at is not None
    assert replace(stopped, state=MeetingState.ACTIVE, stopped_at=None) == meeting


def test_segments_keep_the_order_in_which_they_came(world: World) -> None:
    """Segments line up over several calls, whatever their times; the meeting counts its own."""
    workspace_id = world.workspace()
    meeting, other = world.meeting(workspace_id), world.meeting(workspace_id)
    given = [a_segment(text=text, start_seconds=0, speaker=None) for text in ("c", "a", "b")]
    with world.units() as unit:
        unit.meetings.add_segments(meeting.id, given[:2])
        unit.meetings.add_segments(meeting.id, [])
        unit.meetings.add_segments(meeting.id, iter(given[2:]))
        unit.commit()
    with world.units() as unit:
        assert list(unit.meetings.get_segments(meeting.id)) == given
        assert list(unit.meetings.get_segments(other.id)) == []
    assert (world.read_meeting(meeting).segment_count, world.read_meeting(other).segment_count) == (3, 0)


def test_a_later_summary_takes_the_earlier_ones_place(world: World) -> None:
    """A meeting has one summary: the last."""
    meeting = world.meeting(world.workspace())
    with world.units() as unit:
        assert unit.meetings.get_summary(meeting.id) is None
    last = a_summary(executive_summary="", key_points=(), action_items=("näh",))
    for summary in (a_summary(), last):
        with world.units() as unit:
            unit.meetings.put_summary(meeting.id, summary)
            unit.commit()
    with world.units() as unit:
        assert unit.meetings.get_summary(meeting.id) == last
    assert world.read_meeting(meeting).has_summary
