"""What audio streams may cost the server in memory: floods from a process of their own, and what it took at most."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from noteflow_hooks.rpc.interceptors.reading import MESSAGES_PER_WORKSPACE
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, a_stream, refused
from tests.support.http2 import raw_connection
from tests.support.unfinished_messages import UnfinishedMessages
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MIB = 1024 * 1024
TOO_MUCH = grpc.StatusCode.RESOURCE_EXHAUSTED


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    address: str
    pid: int
    token: str
    other_token: str

    def memory_peak(self) -> int:
        """Return the most memory that it ever had, in bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = [each for each in lines if each.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def flooded(self, *, streams: int, size: int, seconds: float) -> Any:  # noqa: ANN401 - what the program reports
        """Have so many streams send messages of that size, and return what came of it."""
        command = [sys.executable, "-m", "tests.support.stream_flood", self.address, self.token]
        given = [*command, str(streams), str(size), str(seconds)]
        done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)


@pytest.fixture
def server() -> Iterator[Server]:
    """Offer a server that has just begun."""
    command = [sys.executable, "-m", "tests.support.serving_program"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, pid, token, other = process.stdout.readline().split()
        try:
            yield Server(address, int(pid), token, other)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def test_200_streams_of_messages_of_4_mb_are_refused_and_take_little_memory(server: Server) -> None:
    """Each with RESOURCE_EXHAUSTED, however often they come again."""
    report = server.flooded(streams=200, size=4_000_000, seconds=2)
    assert report["answers"].get("RESOURCE_EXHAUSTED", 0) >= 200
    assert server.memory_peak() < 1000 * MIB


def test_200_streams_at_the_limit_are_served_and_take_little_memory(server: Server) -> None:
    """256 KiB of audio in each message, as fast as they can."""
    report = server.flooded(streams=200, size=256 * 1024, seconds=2)
    assert report["answers"].get("RESOURCE_EXHAUSTED", 0) == 0
    assert report["answers"]["OK"] > 0
    assert server.memory_peak() < 1000 * MIB


def test_200_messages_that_never_end_are_held_back_and_their_permits_freed(server: Server) -> None:
    """Not all that somebody sends is waited for at once; and others find places all the while."""
    with raw_connection(server.address) as connection:
        messages = UnfinishedMessages(connection, server.token, streams=200, size=4_000_000)
        messages.send_for(4)
        _is_served(server, server.other_token)
        until = time.monotonic() + PATIENCE_S
        while len(messages.ended) < 200 - MESSAGES_PER_WORKSPACE:
            assert time.monotonic() < until
            messages.send_for(0.2)
    assert server.memory_peak() < (MESSAGES_PER_WORKSPACE * 4 + 300) * MIB


def _is_served(server: Server, token: str) -> None:
    client = WireClient(server.address, token)
    meeting = client.meetings.CreateMeeting(pb.CreateMeetingRequest())
    request = pb.StreamAudioSegmentsRequest(
        meeting_id=meeting.id, audio=bytes(1000), format=pb.AudioFormat(sample_rate=1000, bytes_per_sample=1)
    )
    answer = client.meetings.StreamAudioSegments(iter([request]), timeout=PATIENCE_S)
    assert answer.duration_seconds == 1.0
    client.close()


@pytest.mark.parametrize("size", [256 * 1024 + 1, 300_000])
def test_a_message_above_256_kib_of_audio_ends_its_stream_with_the_limit(world: World, size: int) -> None:
    """And one of exactly that much passes; unary calls keep their 4 MiB."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(bytes(256 * 1024))
        stream.send(bytes(size))
        with refused(TOO_MUCH, "bytes"):
            stream.call.result(timeout=PATIENCE_S)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "title"):
        world.a_meeting("x" * (4 * MIB - 100))
