"""Audio streams that send as much as they can, in a process of its own: ADDRESS TOKEN STREAMS BYTES SECONDS.

Prints, as JSON, how many messages went out and how often which answer came.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = pb.AudioFormat(sample_rate=48_000)
#: So many streams share a connection.
_TOGETHER = 50


class Flood:
    """What all streams send, and what they are told."""

    def __init__(self, token: str, *, size: int, seconds: float) -> None:
        self.sent = 0
        self.answers: Counter[str] = Counter()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._audio = bytes(size)
        self._until = time.monotonic() + seconds

    def run(self, channel: grpc.Channel) -> None:
        """Open a stream, were it late already, and another one when that ends, until the time is up."""
        stub = pb_grpc.MeetingServiceStub(channel)
        is_first = True
        while is_first or time.monotonic() < self._until:
            is_first = False
            try:
                meeting = stub.CreateMeeting(pb.CreateMeetingRequest(), metadata=self._metadata, timeout=30)
                stub.StreamAudioSegments(self._messages(meeting.id), metadata=self._metadata, timeout=60)
                self.answers["OK"] += 1
            except grpc.RpcError as error:
                self.answers[error.code().name] += 1

    def _messages(self, meeting_id: str) -> Iterator[pb.StreamAudioSegmentsRequest]:
        message = pb.StreamAudioSegmentsRequest(meeting_id=meeting_id, format=FORMAT, audio=self._audio)
        while True:
            self.sent += 1
            yield message
            if time.monotonic() >= self._until:
                return


def main() -> None:
    """Send, and report."""
    address, token, streams, size, seconds = sys.argv[1:]
    flood = Flood(token, size=int(size), seconds=float(seconds))
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    channels = [grpc.insecure_channel(address, options=options) for _ in range(-(-int(streams) // _TOGETHER))]
    threads = [
        threading.Thread(target=flood.run, args=(channels[number // _TOGETHER],), daemon=True)
        for number in range(int(streams))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    sys.stdout.write(json.dumps({"sent": flood.sent, "answers": flood.answers}))


if __name__ == "__main__":
    main()
