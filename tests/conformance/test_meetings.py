"""Meetings and their parts, as every store keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.domain.ports import Position
from tests.builders import NOON, a_recording, a_segment, a_summary, hours

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.meetings import Meeting, Recording
    from tests.conformance.world import World

#: Makes even a recording of this moment silent for too long.
AT_ONCE = hours(-1)


def recording(world: World, meeting: Meeting, **overrides: object) -> Recording:
    """Begin a recording of the meeting."""
    given = a_recording(meeting_id=meeting.id, workspace_id=meeting.workspace_id, **overrides)
    with world.units() as unit:
        assert unit.meetings.start_recording(given)
        unit.commit()
    return given


def end(world: World, recording_id: UUID, seconds: float) -> bool:
    with world.units() as unit:
        ended = unit.meetings.end_recording(recording_id, seconds)
        unit.commit()
    return ended


def read(world: World, meeting: Meeting) -> Meeting:
    with world.units() as unit:
        stored = unit.meetings.get(meeting.workspace_id, meeting.id)
    assert stored is not None
    return stored


def abandoned(world: World, silent_for: timedelta = AT_ONCE, server: str | None = None) -> list[UUID]:
    with world.units() as unit:
        found = unit.meetings.abandoned_recordings(silent_for=silent_for, server=server)
    return [each.id for each in found]


@pytest.mark.parametrize("title", ["Weekly", None])
def test_a_meeting_is_kept_as_given(world: World, title: str | None) -> None:
    """A meeting comes back as it was made, with or without a title, locked or not."""
    meeting = world.meeting(world.workspace(), title=title)
    assert read(world, meeting) == meeting
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
    stopped = read(world, meeting)
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
    assert (read(world, meeting).segment_count, read(world, other).segment_count) == (3, 0)


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
    assert read(world, meeting).has_summary


def test_a_meeting_has_one_open_recording(world: World) -> None:
    """A second recording is refused while the first is open, and taken when it has ended."""
    meeting = world.meeting(world.workspace())
    first = recording(world, meeting)
    rival = a_recording(meeting_id=meeting.id, workspace_id=meeting.workspace_id)
    with world.units() as unit:
        assert not unit.meetings.start_recording(rival)
        unit.commit()
    with world.units() as unit:
        found = unit.meetings.open_recording(meeting.id)
    assert found is not None
    assert replace(found, seen_at=first.seen_at) == first
    assert end(world, first.id, 1.5)
    with world.units() as unit:
        assert unit.meetings.open_recording(meeting.id) is None
        assert unit.meetings.start_recording(rival)


def test_meetings_are_recorded_side_by_side(world: World) -> None:
    """One meeting's recording is in no other meeting's way."""
    workspace_id = world.workspace()
    one, two = (recording(world, world.meeting(workspace_id)) for _ in range(2))
    with world.units() as unit:
        found = unit.meetings.open_recording(two.meeting_id)
    assert found is not None
    assert found.id == two.id != one.id


def test_a_recording_ends_once(world: World) -> None:
    """Only the first end counts; what never began can't end."""
    meeting = world.meeting(world.workspace())
    begun = recording(world, meeting)
    assert end(world, begun.id, 2.5)
    assert not end(world, begun.id, 99.0)
    assert not end(world, uuid4(), 1.0)
    assert read(world, meeting).duration_seconds == 2.5


def test_a_meeting_is_as_long_as_its_ended_recordings(world: World) -> None:
    """Durations of ended recordings add up; an open one does not count yet."""
    meeting = world.meeting(world.workspace())
    for seconds in (1.5, 2.25):
        assert end(world, recording(world, meeting).id, seconds)
    open_one = recording(world, meeting)
    with world.units() as unit:
        unit.meetings.touch_recordings({open_one.id: 100.0})
        unit.commit()
    assert read(world, meeting).duration_seconds == 3.75


@pytest.mark.parametrize(("given", "stored"), [(1.0, 7.0), (9.0, 9.0)])
def test_the_longer_duration_stands(world: World, given: float, stored: float) -> None:
    """A recording's end never makes it shorter than its last sign of life said."""
    meeting = world.meeting(world.workspace())
    begun = recording(world, meeting)
    with world.units() as unit:
        unit.meetings.touch_recordings({begun.id: 7.0})
        unit.commit()
    assert end(world, begun.id, given)
    assert read(world, meeting).duration_seconds == stored


def test_a_sign_of_life_moves_seen_at(world: World) -> None:
    """Touching says that a recording lives and how long it is, for open ones alone."""
    workspace_id = world.workspace()
    meeting, over = world.meeting(workspace_id), world.meeting(workspace_id)
    begun, ended = recording(world, meeting), recording(world, over)
    assert end(world, ended.id, 1.0)
    with world.units() as unit:
        before = unit.meetings.open_recording(meeting.id)
    with world.units() as unit:
        unit.meetings.touch_recordings({begun.id: 4.0, ended.id: 50.0, uuid4(): 1.0})
        unit.commit()
    with world.units() as unit:
        after = unit.meetings.open_recording(meeting.id)
    assert before is not None
    assert after is not None
    assert after.duration_seconds == 4.0
    assert after.seen_at > before.seen_at
    assert read(world, over).duration_seconds == 1.0


def test_a_new_recording_has_just_been_seen(world: World) -> None:
    """The sign of life is counted by the store's clock, whatever time the server gave."""
    begun = recording(world, world.meeting(world.workspace()), seen_at=NOON - hours(99))
    assert abandoned(world, hours(1)) == []
    assert abandoned(world, AT_ONCE) == [begun.id]


def test_recordings_without_a_sign_of_life_are_abandoned(world: World) -> None:
    """Open recordings that were silent for so long are found, oldest first; ended ones never are."""
    workspace_id = world.workspace()
    late, early, ended = (
        recording(world, world.meeting(workspace_id), started_at=NOON + hours(offset)) for offset in (2, 1, 0)
    )
    assert end(world, ended.id, 1.0)
    assert abandoned(world) == [early.id, late.id]
    assert abandoned(world, hours(1)) == []


def test_a_servers_own_recordings_are_abandoned_at_once(world: World) -> None:
    """A server that starts finds all that it had open, silent or not, and nobody else's that live."""
    workspace_id = world.workspace()
    mine, _ = (recording(world, world.meeting(workspace_id), server=server) for server in ("mine", "other"))
    assert abandoned(world, hours(1), server="mine") == [mine.id]
    assert len(abandoned(world, AT_ONCE, server="mine")) == 2
