"""What every renderer keeps: its golden files, its bounds, and nothing that would be another at the next attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.rendering.registry import RENDERERS, renderer
from noteflow_hooks.rendering.values import moment_text
from tests.support.golden import GOLDEN, OCCURRED_AT, an_occurrence, occurrences, path_of, shown

if TYPE_CHECKING:
    from noteflow_hooks.rendering.occurrence import Renderer

_KNOWN: Final = [pytest.param(*key, id=f"{key[0]}.{key[1]}") for key in RENDERERS]
#: Those whose output repeats the payload whole.
_WHOLE: Final = ("noteflow", "standard", "cloudevents", "cloudevents-binary")
_WHOLE_ONES: Final = [
    pytest.param(each, id=f"{key[0]}.{key[1]}") for key, each in RENDERERS.items() if key[0] in _WHOLE
]
_LIMIT: Final = 16_384


@pytest.mark.parametrize(("format_", "number"), _KNOWN)
@pytest.mark.parametrize("name", occurrences())
def test_a_renderer_gives_what_its_file_has(format_: str, number: int, name: str) -> None:
    """A change of one byte is a new renderer: ``python -m tests.support.golden`` writes the new one's files."""
    assert shown(RENDERERS[format_, number](occurrences()[name])) == path_of(format_, number, name).read_bytes()


def test_no_file_is_left_without_its_renderer() -> None:
    """One that was removed may still be needed by a delivery that was begun with it."""
    kept = {path.name for path in GOLDEN.iterdir()}
    assert kept == {f"{format_}.{number}" for format_, number in RENDERERS}


def test_every_format_counts_its_renderers_from_one() -> None:
    """Without a gap: what was begun with any of them can be ended."""
    for format_ in {format_ for format_, _ in RENDERERS}:
        numbers = sorted(number for each, number in RENDERERS if each == format_)
        assert numbers == list(range(1, len(numbers) + 1)), format_


def test_an_unknown_number_has_no_renderer() -> None:
    """Nothing else stands in for it."""
    assert renderer("standard", 1) is not None
    assert renderer("standard", 99) is None


@pytest.mark.parametrize("render", _WHOLE_ONES)
@pytest.mark.parametrize("event_type", [*CATALOGUE, "custom.deal.won"])
def test_the_payload_s_bytes_are_sent_as_they_are_stored(render: Renderer, event_type: str) -> None:
    """An envelope is put around them: no number, escape or order of keys is written anew."""
    odd = b'{"event":"x", "n":1.0e+2,"big":123456789012345678901234567890,"u":"\\u00e9\\/","n":2}'
    assert odd in render(an_occurrence(event_type, payload=odd)).body


@pytest.mark.parametrize(("format_", "number"), _KNOWN)
def test_the_largest_event_stays_within_16_kib(format_: str, number: int) -> None:
    """With the longest payload, meeting and type that there can be."""
    text = "会" * ((PAYLOAD_LIMIT_BYTES - 200) // 3)
    payload = json.dumps({"event": "meeting.completed", "title": text}, ensure_ascii=False).encode()
    assert PAYLOAD_LIMIT_BYTES - 300 < len(payload) <= PAYLOAD_LIMIT_BYTES
    for event_type in ("meeting.completed", "custom." + "x" * 121):
        rendered = RENDERERS[format_, number](an_occurrence(event_type, payload=payload, meeting_id="𝔪" * 255))
        assert len(rendered.body) <= _LIMIT
        assert sum(len(name) + len(value) + 4 for name, value in rendered.headers) < 8192


@pytest.mark.parametrize(("format_", "number"), _KNOWN)
def test_headers_are_visible_ascii(format_: str, number: int) -> None:
    """Whatever a meeting is called."""
    for occurrence in occurrences().values():
        rendered = RENDERERS[format_, number](occurrence)
        for text in (rendered.content_type, *(each for pair in rendered.headers for each in pair)):
            assert text.isascii()
            assert text.isprintable()


def test_a_moment_is_written_alike_wherever_it_was_read() -> None:
    """A database's session may be in any zone."""
    elsewhere = OCCURRED_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert moment_text(elsewhere) == moment_text(OCCURRED_AT) == "2026-01-31T12:00:00.123456Z"
    assert moment_text(datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T00:00:00.000000Z"
