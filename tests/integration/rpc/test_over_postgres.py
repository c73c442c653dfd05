"""The server over the real PostgreSQL: what memory can't show, locks and a server that freezes."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest

from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.database import DEADLINE
from tests.integration.rpc.sqlworld import world_over
from tests.integration.rpc.world import a_stream, eventually, refused
from tests.support.clusters import put_cluster
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.rpc.world import World

LIFE = ["recording.started", "recording.stopped", "meeting.completed"]


@pytest.fixture
def world(clean_database: str) -> Iterator[World]:
    """Offer a server over the database, emptied."""
    with world_over(clean_database) as running:
        yield running


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """Offer a PostgreSQL that nobody else uses, so that it may be frozen."""
    put_cluster(tmp_path / "postgres")
    with EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        yield server


def test_a_meeting_s_whole_life_is_stored_with_its_events(world: World) -> None:
    """Recorded, stopped, summarised."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(bytes(1500), "Ada will call.", "Bob is here.")
        assert stream.finish().segment_count == 2
    stopped = world.stop_meeting(meeting.id)
    assert (stopped.duration_seconds, stopped.segment_count) == (1.5, 2)
    summary = world.client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id))
    found = world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id))
    assert found.summary == summary
    assert world.event_types() == [*LIFE, "summary.generated"]
    eventually(lambda: world.announced == [event.id for event in world.events()])


def test_a_stop_and_a_stream_s_end_at_the_same_moment_say_everything_once(world: World) -> None:
    """Whichever comes first ends the recording; the other finds it ended."""
    for _ in range(10):
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000), "One.")
            stream.send_message(None)
            stopping = threading.Thread(target=world.stop_meeting, args=[meeting.id])
            stopping.start()
            stream.call.exception(timeout=PATIENCE_S)
            stopping.join()
    eventually(lambda: len(world.events()) >= 10)
    for event_type in ("meeting.completed", "recording.stopped"):
        said = [event.meeting_id for event in world.events() if event.event_type == event_type]
        assert len(said) == len(set(said))
    started, stopped = (world.event_types().count(each) for each in LIFE[:2])
    assert started == stopped


def test_many_streams_at_once_are_each_recorded(world: World) -> None:
    """More than there are connections."""
    meetings = [world.a_meeting() for _ in range(30)]

    def record(meeting: pb.Meeting) -> None:
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000), "One.")
            stream.send(bytes(1000))
            assert stream.finish().duration_seconds == 2.0

    threads = [threading.Thread(target=record, args=[meeting]) for meeting in meetings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(world.event_types()) == sorted(LIFE[:2] * 30)


def test_a_frozen_postgres_is_unavailable_within_two_seconds_and_then_recovers(
    own_postgres: EmbeddedPostgres,
) -> None:
    """SIGSTOP to all of its processes; after SIGCONT an open stream goes on as if nothing had been."""
    # Of its own server nobody is swept up, however long it takes until it goes on.
    with world_over(own_postgres.url, database_deadline=DEADLINE, silent_for=timedelta(hours=1)) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == LIFE[:1])
            _signal_all(own_postgres, signal.SIGSTOP)
            for _ in range(3):
                with Stopwatch() as watch, refused(grpc.StatusCode.UNAVAILABLE):
                    world.a_meeting()
                assert watch.seconds < 2.0
            stream.send(bytes(1000), "Said while nobody could write.")
            _signal_all(own_postgres, signal.SIGCONT)
            eventually(lambda: _works(world))
            answer = stream.finish()
        assert (answer.duration_seconds, answer.segment_count) == (2.0, 1)
        assert world.event_types() == LIFE[:2]


def _works(world: World) -> bool:
    try:
        world.a_meeting()
    except grpc.RpcError:
        return False
    return True


def _signal_all(server: EmbeddedPostgres, number: signal.Signals) -> None:
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children(recursive=True)):
        process.send_signal(number)
