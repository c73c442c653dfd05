"""The state of one audio stream: which meeting it records, how much audio came, which segments are not stored yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.errors import InvalidInputError, TooLargeError
from noteflow_hooks.rpc.messages.parse import parse_format, parse_id, parse_segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.meetings import AudioFormat, Recording, Segment
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


#: The most audio of one message.
_AUDIO_BYTES: Final = 256 * 1024


class AudioStream:
    """One call of StreamAudioSegments. Belongs to the event loop; threads only read it."""

    def __init__(self, workspace_id: UUID, *, token_id: UUID) -> None:
        self.workspace_id = workspace_id
        #: The token that it came with. Once that is revoked or past its end, the stream is ended.
        self.token_id = token_id
        self.recording: Recording | None = None
        #: Segments that arrived and are not stored.
        self.pending: list[Segment] = []
        #: How many segments were stored.
        self.stored = 0
        #: Held while segments are being stored or the recording is being ended: one of these at a time.
        self.storing = asyncio.Lock()
        #: Begins the recording; there once audio has come.
        self.opening: asyncio.Task[None] | None = None
        #: Ends the recording; there once the stream has ended.
        self.closing: asyncio.Task[Exception | None] | None = None
        #: Done once a first attempt to end the recording has failed because the database is away.
        self.put_off: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Whether the recording has ended in the store, so that nothing is left to close.
        self.over = False
        #: Called once the recording has ended, or can't be.
        self.at_end: list[Callable[[], None]] = []
        #: Gets the error that the call has to end with, where another call or the server ends the stream.
        self.halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._meeting_id: UUID | None = None
        self._format: AudioFormat | None = None
        self._bytes = 0

    @property
    def meeting_id(self) -> UUID:
        """The meeting; raise InvalidInputError where no message named it."""
        if self._meeting_id is None:
            raise _no_meeting()
        return self._meeting_id

    @property
    def begun(self) -> bool:
        """Whether the first message came, with the meeting and the audio's format."""
        return self._meeting_id is not None and self._format is not None

    def error_if_empty(self) -> InvalidInputError | None:
        """Return the error of a stream that ended without a message; None where one came."""
        return _no_meeting() if self._meeting_id is None else None

    def records(self, meeting_id: UUID) -> bool:
        """Tell whether this stream has an open recording of that meeting."""
        return self.recording is not None and not self.over and self._meeting_id == meeting_id

    @property
    def seconds(self) -> float:
        """How long the audio is that came so far."""
        return 0.0 if self._format is None else self._format.seconds(self._bytes)

    def check(self, message: pb.StreamAudioSegmentsRequest) -> list[Segment]:
        """Return the message's segments; raise InvalidInputError where it doesn't fit the ones before."""
        if len(message.audio) > _AUDIO_BYTES:
            raise TooLargeError(
                f"audio: has {len(message.audio)} bytes; at most {_AUDIO_BYTES} are allowed in a message"
            )
        _meeting, _format, segments = check_all(
            lambda: self._check_meeting(message),
            lambda: self._check_format(message),
            lambda: parse_segments(message.segments),
        )
        return segments

    def count(self, audio: bytes) -> None:
        """Add the audio to the recording's length."""
        self._bytes += len(audio)

    def mark_stored(self, count: int) -> None:
        """Note that the first ``count`` pending segments are stored."""
        del self.pending[:count]
        self.stored += count

    def put_off_once(self) -> None:
        """Let the call end before its recording does, since that takes longer than a caller should wait."""
        if not self.put_off.done():
            self.put_off.set_result(None)

    def halt(self, error: Exception) -> None:
        """Have the call end with this error, unless it has ended already."""
        if self.closing is None and not self.halted.done():
            self.halted.set_exception(error)
            # Taken here, so that asyncio doesn't warn of it where the call is cancelled before it takes it.
            self.halted.exception()

    def _check_meeting(self, message: pb.StreamAudioSegmentsRequest) -> None:
        if message.meeting_id or self._meeting_id is None:
            self._set_meeting(parse_id("meeting_id", message.meeting_id))

    def _check_format(self, message: pb.StreamAudioSegmentsRequest) -> None:
        if message.HasField("format"):
            self._set_format(parse_format(message.format))
        elif self._format is None:
            raise InvalidInputError("format", "is needed in the stream's first message")

    def _set_meeting(self, meeting_id: UUID) -> None:
        if self._meeting_id not in (None, meeting_id):
            raise InvalidInputError("meeting_id", "must be the same in every message of a stream")
        self._meeting_id = meeting_id

    def _set_format(self, audio_format: AudioFormat) -> None:
        if self._format not in (None, audio_format):
            raise InvalidInputError("format", "must be the same in every message of a stream")
        self._format = audio_format


def _no_meeting() -> InvalidInputError:
    return InvalidInputError("meeting_id", "is needed in the stream's first message")
