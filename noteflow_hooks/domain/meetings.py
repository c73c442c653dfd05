"""Meetings, as far as webhooks need them: their recordings, transcript segments and summary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.payloads import NAME_LIMIT, TITLE_LIMIT, check_text
from noteflow_hooks.domain.violations import Violations
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

_SEGMENT_LIMIT: Final = 10_000
#: The most characters of a summary's text, the most points and action items that it may have, and of each of those.
_SUMMARY_LIMIT: Final = 100_000
_POINTS_LIMIT: Final = 1_000
_POINT_LIMIT: Final = 2_000
_SAMPLE_RATES: Final = range(1_000, 384_001)
_CHANNELS: Final = range(1, 33)


class MeetingState(StrEnum):
    """The states, as they are stored."""

    #: Made, and open for recordings.
    ACTIVE = "active"
    #: Stopped, once and for all.
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting of one workspace."""

    id: UUID
    workspace_id: UUID
    #: None if it has none; payloads then say ``Untitled``.
    title: str | None
    state: MeetingState
    created_at: datetime
    stopped_at: datetime | None = None
    #: The audio of its finished recordings, in seconds.
    duration_seconds: float = 0.0
    segment_count: int = 0
    has_summary: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished piece of transcript; its times are seconds from the recording's start."""

    text: str
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished summary."""

    executive_summary: str
    key_points: tuple[str, ...] = ()
    action_items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """One audio stream of a meeting. A meeting has at most one that has not ended."""

    id: UUID
    meeting_id: UUID
    workspace_id: UUID
    #: The server that receives the stream.
    server: str
    started_at: datetime
    #: When that server last reported the stream as alive.
    seen_at: datetime
    duration_seconds: float = 0.0
    ended_at: datetime | None = None

    def is_abandoned(self, moment: datetime, *, silent_for: timedelta, server: str | None = None) -> bool:
        """Tell whether it has not ended, and either was not reported alive for so long or belongs to ``server``."""
        return self.ended_at is None and (self.seen_at <= moment - silent_for or self.server == server)


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of uncompressed PCM audio: the duration follows from the number of bytes."""

    sample_rate: int
    channels: int = 1
    bytes_per_sample: int = 2

    @classmethod
    def create(cls, sample_rate: int, channels: int, bytes_per_sample: int) -> AudioFormat:
        """Make a format, or raise :class:`InvalidInputError` with what is allowed."""
        wrong = []
        if sample_rate not in _SAMPLE_RATES:
            wrong.append(InvalidInputError("sample_rate", f"is {sample_rate}; allowed are 1000 to 384000 Hz"))
        if channels not in _CHANNELS:
            wrong.append(InvalidInputError("channels", f"is {channels}; allowed are 1 to 32"))
        if bytes_per_sample not in (1, 2, 3, 4):
            wrong.append(InvalidInputError("bytes_per_sample", f"is {bytes_per_sample}; allowed are 1, 2, 3 and 4"))
        if wrong:
            raise InvalidInputError.of_all(wrong)
        return cls(sample_rate, channels, bytes_per_sample)

    def seconds(self, size: int) -> float:
        """Return how long that many bytes of audio last."""
        return size / (self.sample_rate * self.channels * self.bytes_per_sample)


def check_title(title: str | None) -> str | None:
    """Return the title, None for an empty one, or raise :class:`InvalidInputError`."""
    return check_text("title", title, limit=TITLE_LIMIT) or None if title is not None else None


def check_segment(segment: Segment) -> Segment:
    """Return the segment if it can be stored, else raise :class:`InvalidInputError`."""
    check_text("text", segment.text, limit=_SEGMENT_LIMIT, allow_empty=False)
    if segment.speaker is not None:
        check_text("speaker", segment.speaker, limit=NAME_LIMIT)
    # Written so that NaN fails too: it compares false with everything.
    if not 0 <= segment.start_seconds <= segment.end_seconds < float("inf"):
        raise InvalidInputError("end_seconds", "must be finite, and not before start_seconds, which is 0 or more")
    return segment


def check_summary(summary: Summary) -> Summary:
    """Return the summary if it can be stored, else raise :class:`InvalidInputError`."""
    found, text = Violations(), summary.executive_summary
    found.take(lambda: check_text("summary.executive_summary", text, limit=_SUMMARY_LIMIT, allow_empty=False), "")
    found.take(lambda: _check_points("summary.key_points", summary.key_points), None)
    found.take(lambda: _check_points("summary.action_items", summary.action_items), None)
    found.raise_all()
    return summary


def _check_points(field: str, points: tuple[str, ...]) -> None:
    if len(points) > _POINTS_LIMIT:
        raise InvalidInputError(field, f"has {len(points)} entries; at most {_POINTS_LIMIT} are allowed")
    found = Violations()
    for number, point in enumerate(points):
        found.take(partial(check_text, f"{field}[{number}]", point, limit=_POINT_LIMIT, allow_empty=False), "")
    found.raise_all()
