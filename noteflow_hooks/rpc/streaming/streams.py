"""All audio streams of this server: each recording begins once and ends once, whatever ends the stream.

What begins or ends a recording runs in a task of the server's own: a caller that disappears doesn't cancel it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.application.meetings import ended_elsewhere, stop_meeting
from noteflow_hooks.errors import NoteFlowHooksError, RateLimitError, UnauthenticatedError, UnavailableError
from noteflow_hooks.rpc.interceptors.reading import MESSAGES_AT_ONCE, MESSAGES_PER_WORKSPACE, ReadBudget
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside_if
from noteflow_hooks.rpc.streaming.recording import AudioStream
from noteflow_hooks.rpc.streaming.storage import StreamStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.runtime.tasks import OwnedTasks
    from noteflow_hooks.rpc.sharing.siblings import Siblings

log = logging.getLogger(__name__)

#: With so many segments that are not stored, a stream is read on only once they are.
_PENDING_LIMIT: Final = 500
#: So many are checked in a thread: it takes longer than others should wait.
_MANY_SEGMENTS: Final = 100
#: How long a stream waits for an earlier one of the same meeting whose recording is just being ended.
_EARLIER_S: Final = 0.4


class AudioStreams:
    """The open streams, and what is done with all of them."""

    def __init__(
        self,
        database: Database,
        tasks: OwnedTasks,
        service: WebhookService | None,
        *,
        server: str,
        reads: ReadBudget | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        """``server`` is the name of this server's recordings; ``reads`` makes the streams wait their turn.

        ``siblings`` are the other servers on the same port, where there are any.
        """
        self._siblings = siblings
        self._reads = reads if reads is not None else ReadBudget(most=MESSAGES_AT_ONCE, per_key=MESSAGES_PER_WORKSPACE)
        self._database = database
        self._tasks = tasks
        self._service = service
        self._storage = StreamStorage(database, service, server=server)
        self._streams: set[AudioStream] = set()
        self._refusal: Exception | None = None

    async def record(
        self, workspace_id: UUID, messages: AsyncIterable[pb.StreamAudioSegmentsRequest], *, token_id: UUID
    ) -> pb.StreamAudioSegmentsResponse:
        """Record one stream until it ends, breaks off or is halted, and then end its recording.

        While the database is away the call ends with UnavailableError, and the recording later.
        """
        if self._refusal is not None:
            raise self._refusal
        stream = AudioStream(workspace_id, token_id=token_id)
        self._streams.add(stream)
        reading = asyncio.create_task(self._read(stream, messages))
        reading.add_done_callback(_retrieve_error)
        try:
            await asyncio.wait({reading, stream.halted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            stream.closing = self._tasks.start(self._close(stream))
        error = _error_that_ended(stream, reading)
        if not isinstance(error, UnavailableError):
            outcomes: set[asyncio.Future[Any]] = {stream.closing, stream.put_off}
            await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
        error = error if error is not None else _error_of_closing(stream.closing)
        if error is not None:
            raise error
        return _response(stream)

    async def stop_meeting(self, workspace_id: UUID, meeting_id: UUID) -> Meeting:
        """Stop a meeting. A stream that records it ends, and all that has arrived of it counts."""
        stopped = await self.stop_here(workspace_id, meeting_id)
        if stopped is not None:
            return stopped
        if self._siblings is not None:
            await self._siblings.stop(workspace_id, meeting_id)
        return await self._database.run(lambda unit: stop_meeting(unit, self._service, workspace_id, meeting_id))

    async def stop_here(self, workspace_id: UUID, meeting_id: UUID) -> Meeting | None:
        """Stop a meeting if a stream of this server records it; return None where none does."""
        own = (each for each in self._streams if each.workspace_id == workspace_id)
        stream = next((each for each in own if each.records(meeting_id)), None)
        return None if stream is None else await self._tasks.finish(self._stop_recorded(stream))

    def halt(self, error: Exception) -> None:
        """Have every open stream end with this error, and refuse new ones with it."""
        self._refusal = error
        for stream in self._streams:
            stream.halt(error)

    async def store_segments(self) -> None:
        """Store the segments that have arrived, those of each stream in a unit of work of its own."""
        waiting = [each for each in self._streams if each.pending and not each.storing.locked()]
        await asyncio.gather(*(self._tasks.finish(self._store_or_halt(stream)) for stream in waiting))

    async def beat(self) -> None:
        """Note that the open recordings are alive; halt the streams whose recording was ended elsewhere."""
        live = {each.recording.id: each for each in self._streams if each.recording is not None and not each.over}
        if live:
            durations = {recording_id: stream.seconds for recording_id, stream in live.items()}
            found = await self._database.run(lambda unit: unit.meetings.touch_recordings(durations))
            for recording_id in live.keys() - set(found):
                stream = live[recording_id]
                stream.halt(ended_elsewhere(stream.meeting_id))

    async def check_tokens(self) -> None:
        """Halt the streams whose token was revoked, or has passed its end, since they began.

        What has arrived by then counts. While the database doesn't answer no stream is halted, and nothing is stored.
        """
        token_ids = {each.token_id for each in self._streams}
        if token_ids:
            ended = token_ids.difference(await self._database.run(lambda unit: unit.access.live_tokens(token_ids)))
            for stream in self._streams:
                if stream.token_id in ended:
                    stream.halt(UnauthenticatedError(REFUSAL))

    async def _read(self, stream: AudioStream, messages: AsyncIterable[pb.StreamAudioSegmentsRequest]) -> None:
        source = aiter(messages)
        while True:
            async with self._reads.permit(stream.workspace_id, give_up=partial(stream.halt, _crowded())):
                message = await anext(source, None)
            if message is None:
                return
            segments = await aside_if(len(message.segments) > _MANY_SEGMENTS, partial(stream.check, message))
            stream.count(message.audio)
            if message.audio and stream.opening is None:
                stream.opening = self._tasks.start(self._open(stream))
                await asyncio.shield(stream.opening)
            stream.pending.extend(segments)
            if len(stream.pending) >= _PENDING_LIMIT:
                await self._tasks.finish(self._storage.store_segments(stream))

    async def _open(self, stream: AudioStream) -> None:
        own = (each for each in self._streams if each.workspace_id == stream.workspace_id)
        earlier = [each.closing for each in own if each.closing is not None and each.records(stream.meeting_id)]
        if earlier:
            await asyncio.wait(earlier, timeout=_EARLIER_S)
        if self._siblings is not None:
            stream.at_end.append(self._siblings.begin(stream.meeting_id))
            await self._siblings.ended(stream.meeting_id, within_s=_EARLIER_S)
        await self._storage.begin(stream)

    async def _store_or_halt(self, stream: AudioStream) -> None:
        try:
            await self._storage.store_segments(stream)
        except UnavailableError:
            log.debug("segments of meeting %s are stored later: no answer", stream.meeting_id)
        except Exception as error:  # noqa: BLE001 - it ends the stream's call, which answers and logs it
            stream.halt(error)

    async def _stop_recorded(self, stream: AudioStream) -> Meeting:
        meeting = await self._storage.stop_meeting(stream)
        stream.halt(ended_elsewhere(stream.meeting_id))
        return meeting

    async def _close(self, stream: AudioStream) -> Exception | None:
        """End the stream's recording; return the error where that can't be."""
        if self._siblings is not None and stream.begun:
            stream.at_end.append(self._siblings.end(stream.meeting_id))
        try:
            if stream.opening is not None:
                await asyncio.wait({stream.opening})
            refused = stream.opening is not None and stream.recording is None
            if stream.begun and not refused:
                await self._storage.end(stream)
        except NoteFlowHooksError as error:
            return error
        except Exception as error:
            # The boundary of a task that nobody may be waiting for; a heartbeat will end the recording.
            log.exception("a recording of meeting %s could not be ended", stream.meeting_id)
            return error
        finally:
            self._streams.discard(stream)
            for call in stream.at_end:
                call()
        return None


def _crowded() -> RateLimitError:
    return RateLimitError(
        "this stream was silent, or in the middle of a message, for long while others waited to be read",
        retry_after=timedelta(seconds=1),
    )


def _retrieve_error(reading: asyncio.Task[None]) -> None:
    """Take the error, if any, so that asyncio doesn't warn of it where the stream ended for another reason."""
    if not reading.cancelled():
        reading.exception()


def _error_that_ended(stream: AudioStream, reading: asyncio.Task[None]) -> BaseException | None:
    """Return the error that ended the stream; None where the caller ended it."""
    if stream.halted.done():
        return stream.halted.exception()
    return reading.exception() or stream.error_if_empty()


def _error_of_closing(closing: asyncio.Task[Exception | None]) -> Exception | None:
    if not closing.done():
        return UnavailableError("the recording's end could not be stored yet; it will be")
    return closing.result()


def _response(stream: AudioStream) -> pb.StreamAudioSegmentsResponse:
    return pb.StreamAudioSegmentsResponse(
        recording_id="" if stream.recording is None else str(stream.recording.id),
        duration_seconds=stream.seconds,
        segment_count=stream.stored,
    )
