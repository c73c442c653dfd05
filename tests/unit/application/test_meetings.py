"""Meetings, the segments and seconds that only their stream knows, and summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.application.meetings import (
    add_segments,
    finish_stream,
    new_meeting,
    read_meeting,
    start_recording,
    stop_meeting,
    stop_streamed_meeting,
)
from noteflow_hooks.application.summaries import make_summary, read_transcript, store_summary
from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording, Segment
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError
from tests.support.builders import NOON, a_segment, a_summary

if TYPE_CHECKING:
    from tests.support.application_world import World


def record(world: World, meeting: Meeting) -> Recording:
    """Begin a recording."""
    return world.do(
        lambda unit: start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
    )


def finish(world: World, meeting: Meeting, recording: Recording | None, *segments: Segment) -> None:
    """End its stream after two seconds of audio."""
    world.do(
        lambda unit: finish_stream(
            unit,
            world.service,
            world.workspace.id,
            meeting.id,
            recording=recording,
            segments=segments,
            duration_seconds=2.0,
        )
    )


def stop(world: World, meeting: Meeting) -> Meeting:
    """Stop a meeting that no stream of this server records."""
    return world.do(lambda unit: stop_meeting(unit, world.service, world.workspace.id, meeting.id))


def test_a_new_meeting_can_be_recorded() -> None:
    """An empty title is none; one that can't be stored is refused."""
    workspace_id = uuid4()
    made = new_meeting(workspace_id, "", now=NOON)
    assert (made.workspace_id, made.title, made.state) == (workspace_id, None, MeetingState.ACTIVE)
    with pytest.raises(InvalidInputError, match="title: has 501 characters"):
        new_meeting(workspace_id, "x" * 501, now=NOON)


def test_a_meeting_is_read_with_its_summary(world: World) -> None:
    """None where it has none; nothing where it is another workspace's."""
    meeting = world.meeting()
    assert world.do(lambda unit: read_meeting(unit, world.workspace.id, meeting.id)) == (meeting, None)
    summary = a_summary()
    world.do(lambda unit: store_summary(unit, None, world.workspace.id, meeting.id, summary))
    read, stored = world.do(lambda unit: read_meeting(unit, world.workspace.id, meeting.id))
    assert (read.has_summary, stored) == (True, summary)
    with pytest.raises(NotFoundError, match=f"meeting_id: no meeting {meeting.id} in this workspace"):
        world.do(lambda unit: read_meeting(unit, uuid4(), meeting.id))


def test_a_stream_ends_with_its_last_segments_and_its_length(world: World) -> None:
    """In one transaction with the event."""
    meeting = world.meeting()
    recording = record(world, meeting)
    world.do(lambda unit: add_segments(unit, world.workspace.id, meeting.id, [a_segment(text="One.")]))
    finish(world, meeting, recording, a_segment(text="Two."))
    stored = world.do(lambda unit: read_transcript(unit, world.workspace.id, meeting.id))
    assert [each.text for each in stored] == ["One.", "Two."]
    assert (world.payloads()[-1]["event"], world.payloads()[-1]["duration_seconds"]) == ("recording.stopped", 2.0)


def test_a_stream_without_audio_leaves_its_segments_and_no_recording(world: World) -> None:
    """It began none."""
    meeting = world.meeting()
    finish(world, meeting, None, a_segment())
    assert len(world.do(lambda unit: read_transcript(unit, world.workspace.id, meeting.id))) == 1
    assert world.events() == []


def test_a_stream_whose_recording_has_ended_stores_nothing_more(world: World) -> None:
    """Nor does one whose meeting was stopped: its segments would come twice, or too late."""
    meeting = world.meeting()
    recording = record(world, meeting)
    finish(world, meeting, recording)
    with pytest.raises(PreconditionError, match=f"meeting {meeting.id} was stopped, or its recording ended, meanwhile"):
        finish(world, meeting, recording, a_segment())
    stop(world, meeting)
    with pytest.raises(PreconditionError, match="was stopped, or its recording ended, meanwhile"):
        world.do(lambda unit: add_segments(unit, world.workspace.id, meeting.id, [a_segment()]))
    with pytest.raises(PreconditionError, match="has no transcript"):
        world.do(lambda unit: read_transcript(unit, world.workspace.id, meeting.id))


def stop_streamed(world: World, meeting: Meeting, recording: Recording | None) -> Meeting:
    """Stop a meeting with a stream that has one more segment, and seven seconds of audio."""
    return world.do(
        lambda unit: stop_streamed_meeting(
            unit,
            world.service,
            world.workspace.id,
            meeting.id,
            recording=recording,
            segments=[a_segment()],
            seconds=lambda: 7.0,
        )
    )


def test_stopping_a_streamed_meeting_counts_all_that_has_arrived(world: World) -> None:
    """Its own segments and seconds; those of a recording that another stream has are not its own."""
    ours, others = world.meeting(), world.meeting()
    stopped = stop_streamed(world, ours, record(world, ours))
    assert (stopped.duration_seconds, stopped.segment_count) == (7.0, 1)
    record(world, others)
    stopped = stop_streamed(world, others, None)
    assert (stopped.duration_seconds, stopped.segment_count) == (0.0, 1)


def test_a_meeting_that_was_stopped_before_gets_no_more_segments(world: World) -> None:
    """It comes back as it is."""
    meeting = world.meeting()
    recording = record(world, meeting)
    before = stop(world, meeting)
    assert stop_streamed(world, meeting, recording) == before


def test_a_stored_summary_is_an_event(world: World) -> None:
    """Which says what the meeting has by then; without a service there is none."""
    meeting = world.meeting()
    world.do(lambda unit: store_summary(unit, None, world.workspace.id, meeting.id, a_summary()))
    assert world.events() == []
    world.do(lambda unit: store_summary(unit, world.service, world.workspace.id, meeting.id, a_summary()))
    assert [each["event"] for each in world.payloads()] == ["summary.generated"]
    with pytest.raises(NotFoundError):
        world.do(lambda unit: store_summary(unit, world.service, world.workspace.id, uuid4(), a_summary()))


def test_a_summary_that_can_t_be_stored_is_no_fault_of_the_caller() -> None:
    """A summarizer's answer is checked as a caller's is, and answered as an error of our own."""
    good = a_summary()
    assert make_summary(lambda _: good, [a_segment()]) is good
    with pytest.raises(RuntimeError, match=r"the summarizer's answer can't be stored: summary\.executive_summary"):
        make_summary(lambda _: a_summary(executive_summary=" "), [a_segment()])


def test_there_is_no_summary_of_a_meeting_without_a_transcript(world: World) -> None:
    """The refusal says what to do."""
    meeting = world.meeting()
    with pytest.raises(PreconditionError, match="has no transcript to summarize; give a finished summary"):
        world.do(lambda unit: read_transcript(unit, world.workspace.id, meeting.id))
    with pytest.raises(NotFoundError):
        world.do(lambda unit: read_transcript(unit, uuid4(), meeting.id))
