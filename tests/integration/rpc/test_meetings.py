"""MeetingService over a real channel: meetings are stored, and record their events, whatever becomes of webhooks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.domain.meetings import Segment, Summary
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, eventually, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION
GIVEN = pb.Summary(executive_summary="All is well.", key_points=["a", "b"], action_items=["c"])


def _add_segments(world: World, meeting: pb.Meeting, *texts: str) -> None:
    with world.units() as unit:
        unit.meetings.add_segments(UUID(meeting.id), [Segment(text) for text in texts])
        unit.commit()


def _get(world: World, meeting_id: str) -> pb.Meeting:
    return world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting_id))


def _summarize(world: World, meeting_id: str, summary: pb.Summary | None = None) -> pb.Summary:
    return world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting_id, summary=summary))


def test_a_meeting_is_made_and_found_again(world: World) -> None:
    """What CreateMeeting returns is what GetMeeting finds."""
    made = world.a_meeting("Weekly")
    assert (made.title, made.state, made.workspace_id) == ("Weekly", "active", str(world.workspace_id))
    assert _get(world, made.id) == made
    assert not made.HasField("stopped_at")


def test_a_meeting_needs_no_title(world: World) -> None:
    """An absent title stays absent."""
    made = world.client.meetings.CreateMeeting(pb.CreateMeetingRequest())
    assert not made.HasField("title")


@pytest.mark.parametrize("title", ["x" * 501, "a\x00b"])
def test_a_title_that_can_not_be_sent_is_refused(world: World, title: str) -> None:
    """Titles are limited where they enter."""
    with refused(INVALID, "title: "):
        world.client.meetings.CreateMeeting(pb.CreateMeetingRequest(title=title))


def test_meetings_are_listed_in_pages_newest_first(world: World) -> None:
    """Following the tokens shows every meeting once."""
    made = [world.a_meeting(f"Meeting {number}").id for number in range(5)]
    seen, token = [], ""
    for _ in range(3):
        page = world.client.meetings.ListMeetings(pb.ListMeetingsRequest(page_size=2, page_token=token))
        seen += [meeting.id for meeting in page.meetings]
        token = page.next_page_token
    assert seen == made[::-1]
    assert token == ""


def test_a_page_token_that_no_page_returned_is_refused(world: World) -> None:
    """Garbage is the caller's mistake, and says which field."""
    for token in ("x", "bm8=", "MjAyNC0wMS0wMSBhYmM=", "é"):
        with refused(INVALID, "page_token: "):
            world.client.meetings.ListMeetings(pb.ListMeetingsRequest(page_token=token))


@pytest.mark.parametrize("size", [-1, 501])
def test_a_page_size_out_of_bounds_is_refused(world: World, size: int) -> None:
    """It isn't cut silently."""
    with refused(INVALID, "page_size: ", "500"):
        world.client.meetings.ListMeetings(pb.ListMeetingsRequest(page_size=size))


@pytest.mark.parametrize("meeting_id", ["", "1", "{01234567-89ab-cdef-0123-456789abcdef}", "x" * 36])
def test_a_malformed_id_is_refused_by_name(world: World, meeting_id: str) -> None:
    """It is the caller's mistake, not a meeting that isn't there."""
    with refused(INVALID, "meeting_id: must be a UUID"):
        _get(world, meeting_id)


def test_a_meeting_that_is_not_there_is_not_found(world: World) -> None:
    """In every RPC that takes one."""
    for call in (_get, _summarize, World.stop_meeting):
        with refused(NOT_FOUND, "meeting_id"):
            call(world, str(uuid4()))


def test_another_workspace_s_meeting_is_not_found(world: World) -> None:
    """And it can't be stopped, summarised or listed either."""
    meeting_id = world.a_meeting().id
    with world.stranger() as stranger:
        with refused(NOT_FOUND):
            stranger.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting_id))
        with refused(NOT_FOUND):
            stranger.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting_id))
        with refused(NOT_FOUND):
            stranger.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting_id, summary=GIVEN))
        assert not stranger.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings
    assert world.event_types() == []


def test_stopping_a_meeting_is_said_once(world: World) -> None:
    """The second call returns the meeting as it is, and records nothing."""
    meeting = world.a_meeting()
    stopped = world.stop_meeting(meeting.id)
    assert (stopped.state, stopped.HasField("stopped_at")) == ("completed", True)
    assert world.stop_meeting(meeting.id) == stopped
    assert world.event_types() == ["meeting.completed"]
    eventually(lambda: world.announced == [event.id for event in world.events()])


def test_a_stopped_meeting_says_what_it_has(world: World) -> None:
    """The payload has the contract's fields."""
    meeting = world.a_meeting()
    _add_segments(world, meeting, "One.", "Two.")
    world.stop_meeting(meeting.id)
    said = world.payload("meeting.completed")
    assert said.pop("timestamp").endswith("+00:00")
    assert said == {
        "event": "meeting.completed",
        "meeting_id": meeting.id,
        "title": "Weekly",
        "duration_seconds": 0.0,
        "segment_count": 2,
        "has_summary": False,
    }


def test_a_given_summary_is_stored_and_said(world: World) -> None:
    """In one transaction with its event; GetMeeting then shows it."""
    meeting = world.a_meeting()
    assert _summarize(world, meeting.id, GIVEN) == GIVEN
    found = _get(world, meeting.id)
    assert (found.has_summary, found.summary) == (True, GIVEN)
    said = world.payload("summary.generated")
    assert (said["executive_summary"], said["key_points_count"], said["action_items_count"]) == (
        "All is well.",
        2,
        1,
    )


def test_a_summary_is_made_of_the_transcript(world: World) -> None:
    """The built-in summarizer takes the leading sentences and what looks like action items."""
    meeting = world.a_meeting()
    _add_segments(world, meeting, "Hello. We met. It rained. It stopped.", "Ada will call Bob.")
    made = _summarize(world, meeting.id)
    assert made.executive_summary == "Hello. We met. It rained."
    assert list(made.key_points) == ["It stopped."]
    assert list(made.action_items) == ["Ada will call Bob."]


def test_without_a_transcript_there_is_nothing_to_summarize(world: World) -> None:
    """The caller is told what to do instead."""
    with refused(WRONG_MOMENT, "give a finished summary"):
        _summarize(world, world.a_meeting().id)


@pytest.mark.parametrize(
    ("summary", "field"),
    [
        (pb.Summary(), "summary.executive_summary"),
        (pb.Summary(executive_summary="x" * 100_001), "summary.executive_summary"),
        (pb.Summary(executive_summary="x", key_points=[""]), "summary.key_points[0]"),
        (pb.Summary(executive_summary="x", key_points=["x"] * 1001), "summary.key_points"),
        (pb.Summary(executive_summary="x", action_items=["x" * 2001]), "summary.action_items"),
    ],
    ids=["no text", "long text", "empty point", "many points", "long item"],
)
def test_a_summary_beyond_the_limits_is_refused(world: World, summary: pb.Summary, field: str) -> None:
    """Whatever is wrong is named."""
    meeting = world.a_meeting()
    with refused(INVALID, field):
        _summarize(world, meeting.id, summary)
    assert not _get(world, meeting.id).has_summary


def test_a_summarizer_that_fails_is_not_the_caller_s_fault() -> None:
    """The answer is INTERNAL and says nothing of the reason."""

    def unusable(_: Sequence[Segment]) -> Summary:
        return Summary(executive_summary="")

    with World(summarize=unusable) as world:
        meeting = world.a_meeting()
        _add_segments(world, meeting, "One.")
        with refused(grpc.StatusCode.INTERNAL, "internal error; the server's log says more"):
            _summarize(world, meeting.id)


def test_an_event_that_can_not_be_stored_does_not_hurt_the_meeting(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The meeting is stopped all the same; the failure is logged and counted."""
    meeting = world.a_meeting()
    monkeypatch.setattr(world.service, "publish", lambda event, unit: 1 // 0)  # noqa: ARG005 - the signature of publish
    with caplog.at_level(logging.ERROR):
        assert world.stop_meeting(meeting.id).state == "completed"
    assert _get(world, meeting.id).state == "completed"
    assert world.event_types() == []
    assert world.service.failures == 1
    assert "Failed to trigger meeting.completed webhooks" in caplog.text
