"""What an audio stream stores: its recording's beginning and end, and the segments between.

For each stream one of these at a time, under the stream's lock. The database's threads only read a stream; the event
loop changes it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.meetings import add_segments, finish_stream, start_recording, stop_streamed_meeting
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.streaming.recording import AudioStream

#: The waits between attempts to end a recording while the database is away. If the last attempt fails too, the
#: recording counts as abandoned in time, and the heartbeat of this or another server ends it.
_RETRY_AFTER_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)

#: So many are stored within a millisecond of Python's.
_FEW_SEGMENTS: Final = 20


class StreamStorage:
    """Stores for one server's streams."""

    def __init__(self, database: Database, service: WebhookService | None, *, server: str) -> None:
        """``server`` is the name under which this server's recordings are kept."""
        self._database = database
        self._service = service
        self._server = server

    async def begin(self, stream: AudioStream) -> None:
        """Begin the stream's recording."""
        stream.recording = await self._database.run(
            lambda unit: start_recording(
                unit,
                self._service,
                stream.workspace_id,
                stream.meeting_id,
                server=self._server,
                now=datetime.now(UTC),
            )
        )

    async def store_segments(self, stream: AudioStream) -> None:
        """Store the segments that have arrived, unless the recording has ended."""
        async with stream.storing:
            segments = tuple(stream.pending)
            if segments and not stream.over:
                await self._database.run(
                    lambda unit: add_segments(unit, stream.workspace_id, stream.meeting_id, segments),
                    is_large=len(segments) > _FEW_SEGMENTS,
                )
                stream.mark_stored(len(segments))

    async def stop_meeting(self, stream: AudioStream) -> Meeting:
        """Stop the meeting that the stream records, with all that has arrived."""
        async with stream.storing:
            segments = tuple(stream.pending)
            meeting = await self._database.run(
                lambda unit: stop_streamed_meeting(
                    unit,
                    self._service,
                    stream.workspace_id,
                    stream.meeting_id,
                    recording=stream.recording,
                    segments=segments,
                    # Read when the meeting is locked: audio goes on coming until then, and counts.
                    seconds=lambda: stream.seconds,
                ),
                is_large=len(segments) > _FEW_SEGMENTS,
            )
            stream.mark_stored(len(segments))
            stream.over = True
        return meeting

    async def end(self, stream: AudioStream) -> None:
        """End the stream's recording, with further attempts while the database is away; raise the error of the last."""
        for wait_s in _RETRY_AFTER_S:
            try:
                return await self._end(stream)
            except UnavailableError:
                stream.put_off_once()
                await asyncio.sleep(wait_s)
        return await self._end(stream)

    async def _end(self, stream: AudioStream) -> None:
        async with stream.storing:
            if stream.over:
                return
            segments = tuple(stream.pending)
            await self._database.run(
                lambda unit: finish_stream(
                    unit,
                    self._service,
                    stream.workspace_id,
                    stream.meeting_id,
                    recording=stream.recording,
                    segments=segments,
                    duration_seconds=stream.seconds,
                ),
                is_large=len(segments) > _FEW_SEGMENTS,
            )
            stream.mark_stored(len(segments))
            stream.over = True
