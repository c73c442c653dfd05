"""All audio streams of this server: each recording begins once and ends once, whatever ends the stream.

What begins or ends one runs in a task of the server's, so that a caller that disappears doesn't take it along.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.application.meetings import (
    add_segments,
    ended_elsewhere,
    finish_stream,
    start_recording,
    stop_meeting,
    stop_streamed_meeting,
)
from noteflow_hooks.errors import NoteFlowHooksError, UnauthenticatedError, UnavailableError
from noteflow_hooks.rpc.interceptors.auth import REFUSAL
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.streaming.recording import AudioStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks

log = logging.getLogger(__name__)

#: So many unstored segments make the stream wait until they are stored.
_PENDING_LIMIT: Final = 500
#: How long a stream waits for an earlier one of its meeting that is just being closed.
_EARLIER_S: Final = 0.4
#: The waits between attempts to end a recording while the database is away. After them the sweep for recordings
#: without a sign of life ends it, here or on another server.
_PATIENCE_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class AudioStreams:
    """The open streams, and what is done with all of them."""

    def __init__(self, database: Database, tasks: OwnedTasks, service: WebhookService | None, *, server: str) -> None:
        """``server`` is the name under which this server's recordings are kept."""
        self._database = database
        self._tasks = tasks
        self._service = service
        self._server = server
        self._streams: set[AudioStream] = set()
        self._refusal: Exception | None = None

    async def record(
        self, workspace_id: UUID, messages: AsyncIterable[pb.StreamAudioSegmentsRequest], *, token_id: UUID
    ) -> pb.StreamAudioSegmentsResponse:
        """Record one stream until it ends, breaks off or is halted, and then end its recording."""
        if self._refusal is not None:
            raise self._refusal
        stream = AudioStream(workspace_id, token_id=token_id)
        self._streams.add(stream)
        reading = asyncio.create_task(self._read(stream, messages))
        reading.add_done_callback(_seen)
        try:
            await asyncio.wait({reading, stream.halted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            stream.closing = self._tasks.start(self._close(stream))
        error = _what_ended(stream, reading)
        if not isinstance(error, UnavailableError):
            outcomes: set[asyncio.Future[Any]] = {stream.closing, stream.put_off}
            await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        error = error if error is not None else _what_closing_met(stream.closing)
        if error is not None:
            raise error
        return _response(stream)

    async def stop_meeting(self, workspace_id: UUID, meeting_id: UUID) -> Meeting:
        """Stop a meeting; a stream that records it here counts with all that has arrived, and ends."""
        own = (each for each in self._streams if each.workspace_id == workspace_id)
        stream = next((each for each in own if each.records(meeting_id)), None)
        if stream is not None:
            return await self._tasks.finish(self._stop_recorded(stream))
        return await self._database.run(lambda unit: stop_meeting(unit, self._service, workspace_id, meeting_id))

    def halt(self, error: Exception) -> None:
        """Have every open stream end with this error, and refuse new ones with it."""
        self._refusal = error
        for stream in self._streams:
            stream.halt(error)

    async def store_segments(self) -> None:
        """Store what segments have gathered, of each stream in a unit of work of its own."""
        waiting = [each for each in self._streams if each.pending and not each.storing.locked()]
        await asyncio.gather(*(self._tasks.finish(self._store_or_halt(stream)) for stream in waiting))

    async def beat(self) -> None:
        """Say that the open recordings live; halt the streams whose recording was ended elsewhere."""
        live = [each for each in self._streams if each.recording is not None and not each.over]
        if live:
            durations = {each.recording.id: each.seconds for each in live if each.recording is not None}
            alive = await self._database.run(lambda unit: unit.meetings.touch_recordings(durations))
            for stream in live:
                if stream.recording is not None and stream.recording.id not in alive:
                    stream.halt(ended_elsewhere(stream.meeting_id))

    async def check_tokens(self) -> None:
        """Halt the streams whose token was revoked, or has ended, since they began.

        What had arrived by then counts. While the database doesn't answer nobody is halted, and nothing is stored.
        """
        asked = {each.token_id for each in self._streams}
        if asked:
            ended = asked.difference(await self._database.run(lambda unit: unit.access.live_tokens(asked)))
            for stream in self._streams:
                if stream.token_id in ended:
                    stream.halt(UnauthenticatedError(REFUSAL))

    async def _read(self, stream: AudioStream, messages: AsyncIterable[pb.StreamAudioSegmentsRequest]) -> None:
        async for message in messages:
            segments = stream.check(message)
            stream.count(message.audio)
            if message.audio and stream.opening is None:
                stream.opening = self._tasks.start(self._open(stream))
                await asyncio.shield(stream.opening)
            stream.pending.extend(segments)
            if len(stream.pending) >= _PENDING_LIMIT:
                await self._tasks.finish(self._store(stream))

    async def _open(self, stream: AudioStream) -> None:
        own = (each for each in self._streams if each.workspace_id == stream.workspace_id)
        earlier = [each.closing for each in own if each.closing is not None and each.records(stream.meeting_id)]
        if earlier:
            await asyncio.wait(earlier, timeout=_EARLIER_S)
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

    async def _store(self, stream: AudioStream) -> None:
        async with stream.storing:
            segments = tuple(stream.pending)
            if segments and not stream.over:
                await self._database.run(
                    lambda unit: add_segments(unit, stream.workspace_id, stream.meeting_id, segments)
                )
                stream.settle(len(segments))

    async def _store_or_halt(self, stream: AudioStream) -> None:
        try:
            await self._store(stream)
        except UnavailableError:
            log.debug("segments of meeting %s are stored later: no answer", stream.meeting_id)
        except Exception as error:  # noqa: BLE001 - it ends the stream's call, which answers and logs it
            stream.halt(error)

    async def _stop_recorded(self, stream: AudioStream) -> Meeting:
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
                )
            )
            stream.settle(len(segments))
            stream.over = True
        stream.halt(ended_elsewhere(stream.meeting_id))
        return meeting

    async def _close(self, stream: AudioStream) -> Exception | None:
        """End the stream's recording, patiently; return the error where that can't be."""
        try:
            if stream.opening is not None:
                await asyncio.wait({stream.opening})
            refused = stream.opening is not None and stream.recording is None
            if stream.begun and not refused:
                await self._end_patiently(stream)
        except NoteFlowHooksError as error:
            return error
        except Exception as error:
            # The boundary of a task that nobody may be waiting for; the sweep will end the recording.
            log.exception("a recording of meeting %s could not be ended", stream.meeting_id)
            return error
        finally:
            self._streams.discard(stream)
        return None

    async def _end_patiently(self, stream: AudioStream) -> None:
        for wait_s in _PATIENCE_S:
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
                )
            )
            stream.settle(len(segments))
            stream.over = True


def _seen(reading: asyncio.Task[None]) -> None:
    """Look at the error, so that asyncio doesn't warn where the stream ended for another reason."""
    if not reading.cancelled():
        reading.exception()


def _what_ended(stream: AudioStream, reading: asyncio.Task[None]) -> BaseException | None:
    """Return the error that ended the stream; None where the caller ended it."""
    if stream.halted.done():
        return stream.halted.exception()
    return reading.exception() or stream.missing()


def _what_closing_met(closing: asyncio.Task[Exception | None]) -> Exception | None:
    if not closing.done():
        return UnavailableError("the recording's end could not be stored yet; it will be")
    return closing.result()


def _response(stream: AudioStream) -> pb.StreamAudioSegmentsResponse:
    return pb.StreamAudioSegmentsResponse(
        recording_id="" if stream.recording is None else str(stream.recording.id),
        duration_seconds=stream.seconds,
        segment_count=stream.stored,
    )
