"""The server's half, over the store in memory: events in the caller's own transaction, announced after it."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import pytest

from noteflow_hooks.application.meetings import end_abandoned, end_recording, start_recording, stop_meeting
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError, UnavailableError
from tests.support.builders import a_summary, a_webhook, a_workspace

if TYPE_CHECKING:
    from tests.support.application_world import World


def test_a_meetings_life_says_what_the_contract_says(world: World) -> None:
    """Each event has the base fields first and then its own, in the contract's order."""
    meeting = world.meeting()
    with world.unit() as unit:
        recording = start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        unit.commit()
    with world.unit() as unit:
        assert end_recording(unit, world.service, recording, duration_seconds=2.5)
        unit.commit()
    with world.unit() as unit:
        world.service.trigger_summary_generated(
            meeting, a_summary(executive_summary="All well.", key_points=("a", "b"), action_items=("c",)), unit
        )
        stop_meeting(unit, world.service, world.workspace.id, meeting.id)
        unit.commit()
    base = {"timestamp": "2024-01-31T12:00:00+00:00", "meeting_id": str(meeting.id), "title": "Weekly"}
    assert world.payloads() == [
        {"event": "recording.started", **base},
        {"event": "recording.stopped", **base, "duration_seconds": 2.5},
        {
            "event": "summary.generated",
            **base,
            "executive_summary": "All well.",
            "key_points_count": 2,
            "action_items_count": 1,
        },
        {"event": "meeting.completed", **base, "duration_seconds": 2.5, "segment_count": 0, "has_summary": False},
    ]
    assert world.announced == [event.id for event in world.events()]


def test_stopping_while_recording_ends_the_recording_first(world: World) -> None:
    """Both events come in one transaction, with the longer of the known durations."""
    meeting = world.meeting()
    with world.unit() as unit:
        start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        unit.commit()
    with world.unit() as unit:
        stopped = stop_meeting(unit, world.service, world.workspace.id, meeting.id, recorded_s=lambda _: 7.0)
        unit.commit()
    assert stopped.state is MeetingState.COMPLETED
    assert stopped.duration_seconds == 7.0
    assert [each["event"] for each in world.payloads()[1:]] == ["recording.stopped", "meeting.completed"]


def test_a_meeting_is_completed_once_however_often_it_is_stopped(world: World) -> None:
    """The second call returns the meeting and records nothing."""
    meeting = world.meeting()
    for _ in range(2):
        with world.unit() as unit:
            assert stop_meeting(unit, world.service, world.workspace.id, meeting.id).state is MeetingState.COMPLETED
            unit.commit()
    assert [each["event"] for each in world.payloads()] == ["meeting.completed"]


def test_a_meeting_without_a_title_is_sent_as_untitled(world: World) -> None:
    """And without a recording its duration is 0.0, a float."""
    meeting = world.meeting(title=None)
    with world.unit() as unit:
        stop_meeting(unit, world.service, world.workspace.id, meeting.id)
        unit.commit()
    [event] = world.events()
    assert b'"title":"Untitled","duration_seconds":0.0,' in event.payload


def test_one_stream_at_a_time_records_a_meeting(world: World) -> None:
    """A second one is refused; after the end of the first a new one is a new recording."""
    meeting = world.meeting()
    with world.unit() as unit:
        first = start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        with pytest.raises(PreconditionError, match="one stream at a time"):
            start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        assert end_recording(unit, world.service, first, duration_seconds=1)
        assert not end_recording(unit, world.service, first, duration_seconds=1)
        start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        unit.commit()
    kinds = [each["event"] for each in world.payloads()]
    assert kinds == ["recording.started", "recording.stopped", "recording.started"]


def test_a_stopped_meeting_can_t_be_recorded(world: World) -> None:
    """Nor can one of another workspace, which is not found."""
    meeting = world.meeting()
    with world.unit() as unit:
        stop_meeting(unit, world.service, world.workspace.id, meeting.id)
        with pytest.raises(PreconditionError, match="stopped"):
            start_recording(unit, world.service, world.workspace.id, meeting.id, server="s", now=world.now)
        with pytest.raises(NotFoundError):
            stop_meeting(unit, world.service, a_workspace().id, meeting.id)


def test_recordings_of_a_dead_server_are_ended_for_it(world: World) -> None:
    """By its name at once, by its silence after a while; living ones go on."""
    meetings = [world.meeting() for _ in range(3)]
    with world.unit() as unit:
        for meeting, server in zip(meetings, ("dead", "silent", "alive"), strict=True):
            start_recording(unit, world.service, world.workspace.id, meeting.id, server=server, now=world.now)
        unit.commit()
    silence = timedelta(seconds=15)
    assert end_abandoned(world.unit, world.service, silent_for=silence, server="dead") == 1
    world.now += timedelta(seconds=16)
    with world.unit() as unit:
        alive = unit.meetings.open_recording(meetings[2].id)
        assert alive is not None
        unit.meetings.touch_recordings({alive.id: 3.0})
        unit.commit()
    assert end_abandoned(world.unit, world.service, silent_for=silence) == 1
    stopped = [each["meeting_id"] for each in world.payloads() if each["event"] == "recording.stopped"]
    assert stopped == [str(meetings[0].id), str(meetings[1].id)]


def test_an_event_is_announced_after_the_commit_and_not_without_one(world: World) -> None:
    """A unit that is left without a commit has recorded and announced nothing."""
    meeting = world.meeting()
    with world.unit() as unit:
        world.service.trigger_meeting_completed(meeting, unit)
        assert world.announced == []
    assert world.announced == []
    assert world.events() == []


def test_an_event_that_can_t_be_built_does_not_hurt_the_meeting(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The meeting's change commits; the failure is logged and counted, and None comes back."""
    meeting = world.meeting(title="lone \ud800 surrogate")
    with world.unit() as unit:
        stopped = stop_meeting(unit, world.service, world.workspace.id, meeting.id)
        unit.commit()
    assert stopped.state is MeetingState.COMPLETED
    assert world.events() == []
    assert world.announced == []
    assert world.service.failures == 1
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage() == "Failed to trigger meeting.completed webhooks"


def test_a_lost_database_fails_the_caller_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meeting's own change is lost with it, so nothing may look as if it were done."""
    meeting = world.meeting()

    def lost(*_: object) -> NoReturn:
        raise UnavailableError

    monkeypatch.setattr(world.service, "publish", lost)
    with world.unit() as unit, pytest.raises(UnavailableError):
        world.service.trigger_meeting_completed(meeting, unit)
    assert world.service.failures == 0


def test_without_a_service_meetings_work_and_nothing_is_recorded(world: World) -> None:
    """The feature flag is off: the same steps, no event."""
    meeting = world.meeting()
    with world.unit() as unit:
        start_recording(unit, None, world.workspace.id, meeting.id, server="s", now=world.now)
        stop_meeting(unit, None, world.workspace.id, meeting.id)
        unit.commit()
    assert end_abandoned(world.unit, None, silent_for=timedelta(0)) == 0
    assert world.events() == []


def test_an_endpoint_is_registered_listed_and_removed(world: World) -> None:
    """Removing it twice is False the second time."""
    stored = world.service.register_webhook(a_webhook(workspace_id=world.workspace.id))
    assert [each.id for each in world.service.get_webhooks()] == [stored.id]
    assert world.service.unregister_webhook(stored.id)
    assert not world.service.unregister_webhook(stored.id)
    assert list(world.service.get_webhooks()) == []


def test_an_endpoint_that_may_not_be_reached_is_not_stored(world: World) -> None:
    """The check of its address comes first."""

    def refuse(_: str) -> NoReturn:
        raise InvalidInputError("url", "address not allowed")

    strict = WebhookService(world.unit, world.announced.extend, check_url=refuse)
    with pytest.raises(InvalidInputError):
        strict.register_webhook(a_webhook(workspace_id=world.workspace.id))
    assert list(strict.get_webhooks()) == []


def test_a_test_goes_to_its_target(world: World) -> None:
    """The event names the endpoint, and no meeting."""
    webhook = world.service.register_webhook(a_webhook(workspace_id=world.workspace.id))
    with world.unit() as unit:
        world.service.trigger_test(webhook, unit)
        unit.commit()
    [event] = world.events()
    assert event.target_webhook_id == webhook.id
    assert json.loads(event.payload) == {
        "event": "webhook.test",
        "timestamp": "2024-01-31T12:00:00+00:00",
        "webhook_id": str(webhook.id),
    }
