"""Meetings' parts: titles, segments and the length of audio."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.meetings import AudioFormat, check_segment, check_title
from noteflow_hooks.errors import InvalidInputError
from tests.support.builders import a_segment

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(("given", "kept"), [(None, None), ("", None), ("W", "W"), ("é" * 500, "é" * 500)])
def test_an_empty_title_is_none(given: str | None, kept: str | None) -> None:
    """Titles of up to 500 characters are kept, and no title is kept as none."""
    assert check_title(given) == kept


@pytest.mark.parametrize("title", ["t" * 501, "\x00", "\ud800"])
def test_a_title_that_cannot_be_sent_is_refused(title: str) -> None:
    """A title is checked where it enters."""
    with pytest.raises(InvalidInputError) as caught:
        check_title(title)
    assert caught.value.field == "title"


@pytest.mark.parametrize(
    ("rate", "channels", "sample", "size", "seconds"),
    [
        (16_000, 1, 2, 32_000, 1.0),
        (48_000, 2, 3, 144_000, 0.5),
        (1_000, 32, 4, 0, 0.0),
        (384_000, 1, 1, 384_000, 1.0),
    ],
)
def test_audio_lasts_as_long_as_its_bytes(rate: int, channels: int, sample: int, size: int, seconds: float) -> None:
    """Time is counted from the size of uncompressed samples."""
    assert AudioFormat.create(rate, channels, sample).seconds(size) == seconds


@pytest.mark.parametrize(
    ("rate", "channels", "sample", "field"),
    [
        (999, 1, 2, "sample_rate"),
        (0, 1, 2, "sample_rate"),
        (384_001, 1, 2, "sample_rate"),
        (16_000, 0, 2, "channels"),
        (16_000, 33, 2, "channels"),
        (16_000, 1, 0, "bytes_per_sample"),
        (16_000, 1, 5, "bytes_per_sample"),
    ],
)
def test_a_format_without_a_length_is_refused(rate: int, channels: int, sample: int, field: str) -> None:
    """What would divide by zero, or is no audio, is refused by its field."""
    with pytest.raises(InvalidInputError, match="is ") as caught:
        AudioFormat.create(rate, channels, sample)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start_seconds": 0.0, "end_seconds": 0.0},
        {"speaker": None},
        {"speaker": ""},
        {"speaker": "s" * 255},
        {"text": "t" * 10_000},
        {"end_seconds": 1e300},
    ],
)
def test_a_segment_that_can_be_stored_comes_back(changes: dict[str, object]) -> None:
    """A checked segment is the one that was given."""
    segment = a_segment(**changes)
    assert check_segment(segment) is segment


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " "}, "text"),
        ({"text": "\x00"}, "text"),
        ({"text": "t" * 10_001}, "text"),
        ({"speaker": "\ud800"}, "speaker"),
        ({"speaker": "s" * 256}, "speaker"),
        ({"start_seconds": -0.1}, "end_seconds"),
        ({"start_seconds": 3.0, "end_seconds": 2.0}, "end_seconds"),
        ({"start_seconds": NAN}, "end_seconds"),
        ({"end_seconds": NAN}, "end_seconds"),
        ({"end_seconds": INFINITE}, "end_seconds"),
        ({"start_seconds": INFINITE, "end_seconds": INFINITE}, "end_seconds"),
    ],
)
def test_a_segment_that_cannot_be_stored_is_refused(changes: dict[str, object], field: str) -> None:
    """Times run forward and are numbers; texts are text."""
    with pytest.raises(InvalidInputError) as caught:
        check_segment(a_segment(**changes))
    assert caught.value.field == field
