"""Recordings: one open one a meeting, ended once, and found where their server has died."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.builders import NOON, a_recording, hours

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.meetings import Meeting, Recording
    from tests.conformance.model.world import World

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


def abandoned(world: World, silent_for: timedelta = AT_ONCE, server: str | None = None) -> list[UUID]:
    with world.units() as unit:
        found = unit.meetings.abandoned_recordings(silent_for=silent_for, server=server)
    return [each.id for each in found]


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
    assert world.read_meeting(meeting).duration_seconds == 2.5


def test_a_meeting_is_as_long_as_its_ended_recordings(world: World) -> None:
    """Durations of its own ended recordings add up; an open one does not count yet."""
    workspace_id = world.workspace()
    meeting = world.meeting(workspace_id)
    assert end(world, recording(world, world.meeting(workspace_id)).id, 9.0)
    for seconds in (1.5, 2.25):
        assert end(world, recording(world, meeting).id, seconds)
    open_one = recording(world, meeting)
    with world.units() as unit:
        unit.meetings.touch_recordings({open_one.id: 100.0})
        unit.commit()
    assert world.read_meeting(meeting).duration_seconds == 3.75


def test_a_sign_of_life_tells_which_recordings_live(world: World) -> None:
    """Those that ended elsewhere, and those that never were, are not among them."""
    workspace_id = world.workspace()
    living, ended = (recording(world, world.meeting(workspace_id)) for _ in range(2))
    assert end(world, ended.id, 1.0)
    with world.units() as unit:
        assert set(unit.meetings.touch_recordings({living.id: 1.0, ended.id: 1.0, uuid4(): 1.0})) == {living.id}


@pytest.mark.parametrize(("given", "stored"), [(1.0, 7.0), (9.0, 9.0)])
def test_the_longer_duration_stands(world: World, given: float, stored: float) -> None:
    """A recording's end never makes it shorter than its last sign of life said."""
    meeting = world.meeting(world.workspace())
    begun = recording(world, meeting)
    with world.units() as unit:
        unit.meetings.touch_recordings({begun.id: 7.0})
        unit.commit()
    assert end(world, begun.id, given)
    assert world.read_meeting(meeting).duration_seconds == stored


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
    assert world.read_meeting(over).duration_seconds == 1.0


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
