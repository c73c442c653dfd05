"""Messages for chats: what a person reads, within the vendors' limits, and nothing in them that isn't text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.rendering.messages import clean, clean_line, duration, message_of
from noteflow_hooks.rendering.registry import RENDERERS
from tests.support.chats.discord import check_discord, read_discord
from tests.support.chats.slack import check_slack, read_slack
from tests.support.chats.teams import check_teams, read_teams
from tests.support.golden import an_occurrence

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.rendering.occurrence import Occurrence
    from tests.support.chats.shown import Shown

READERS: Final[dict[str, Callable[[bytes], Shown]]] = {
    "slack": read_slack,
    "discord": read_discord,
    "teams": read_teams,
}
RULES: Final = {"slack": check_slack, "discord": check_discord, "teams": check_teams}
#: What would ping, lead elsewhere or look like something else.
NASTY: Final = (
    "<!channel>",
    "<!here>",
    "<!everyone>",
    "<@U1>",
    "<@123>",
    "<@&123>",
    "<#C1|general>",
    "<!subteam^S1|@team>",
    "@everyone",
    "@here",
    "@\u200beveryone",
    "[x](http://evil)",
    "![x](http://evil/x.png)",
    "<https://evil|bank>",
    "<https://evil>",
    "https://evil/path?q=1",
    "<at>Boss</at>",
    "{{DATE(2017-02-14T06:00:00Z, SHORT)}}",
    "<t:1618953630:R>",
    "<id:customize>",
    "</ban:123>",
    "<a:wave:123>",
    "# heading",
    "-# small",
    "> quote",
    ">>> quote",
    "- item",
    "1. item",
    "1) item",
    "***",
    "---",
    "===",
    "    code",
    "```\ncode\n```",
    "`code`",
    "*bold* _it_ ~no~ **bold** __under__ ~~no~~ ||spoiler||",
    "\\*bold\\*",
    "\\\\[x](http://evil)",
    "&lt;!channel&gt;",
    "&#60;!channel&#62;",
    "<b>bold</b>",
    "<!--",
    "[x]: http://evil",
    "| a | b |\n|---|---|",
    "\u202egnp.exe",
    "a\u2066b\u2069c",
    "zero\u200bwidth\ufeff",
    "tag\U000e0041\U000e0042",
    "line\u2028break",
    "🏴\U000e0067\U000e007f",
)


def told(format_: str, occurrence: Occurrence) -> Shown:
    """Return what people see of the event, once the vendor has taken its message."""
    body = RENDERERS[format_, 1](occurrence).body
    assert len(body) <= 16_384
    RULES[format_](body)
    return READERS[format_](body)


def encoded(payload: dict[str, Any]) -> bytes:
    """Return it as it is stored, whatever it holds."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def a_summary(title: str, text: str) -> Occurrence:
    """Return a summary whose texts are these."""
    payload = CATALOGUE["summary.generated"].example(1) | {"title": title, "executive_summary": text}
    return an_occurrence("summary.generated", payload=encoded(payload))


def a_custom(**fields: Any) -> Occurrence:  # noqa: ANN401 - whatever JSON has
    """Return an event of a workspace's own type with these fields."""
    return an_occurrence("custom.deal.won", payload=encoded({"event": "custom.deal.won"} | fields))


def is_shown(text: str, shown: Shown) -> bool:
    """Tell whether the text, or its beginning where it was cut, is among what people see."""
    return any(text == each or (each.endswith("…") and text.startswith(each[:-1].rstrip())) for each in shown.texts)


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize("nasty", NASTY)
def test_whatever_a_title_or_a_summary_holds_comes_out_as_text(format_: str, nasty: str) -> None:
    """No mention, link, date or style, and the very words that were written."""
    for text in (nasty, f"before {nasty} after", nasty * 3, f"\n{nasty}\n"):
        shown = told(format_, a_summary(text, text))
        assert shown.live == []
        assert is_shown(clean_line(text), shown)
        assert is_shown(clean(text), shown)


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize("nasty", NASTY)
def test_neither_a_custom_type_nor_a_reason_can_forge(format_: str, nasty: str) -> None:
    """Names and values of fields alike, nested ones too, and what an endpoint has made us say of it."""
    shown = told(format_, a_custom(**{nasty: nasty, "title": nasty, "deep": {nasty: [nasty]}}))
    assert shown.live == []
    trouble = CATALOGUE["webhook.failing"].example(1) | {"reason": nasty, "webhook_id": nasty}
    assert told(format_, an_occurrence("webhook.failing", payload=encoded(trouble))).live == []


_FRAGMENTS: Final = st.one_of(
    st.sampled_from(NASTY),
    st.sampled_from([*"<>@#&!*_~`|[](){}\\/:.-+=^%\n\r\t ", "everyone", "http", "\u200d", "\u0301", "👩", "1", "e"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
_TEXTS: Final = st.lists(_FRAGMENTS, max_size=40).map("".join)


@pytest.mark.parametrize("format_", READERS)
@settings(max_examples=400, deadline=None)
@given(text=_TEXTS)
def test_generated_texts_come_out_as_text(format_: str, text: str) -> None:
    """Whatever is put together of markup, letters and what is invisible: more than a thousand over the vendors."""
    title = text[:500]
    shown = told(format_, a_summary(title, text))
    assert shown.live == []
    assert is_shown(clean_line(title) or "Untitled", shown)
    assert not clean(text) or is_shown(clean(text), shown)


@pytest.mark.parametrize("format_", READERS)
@settings(max_examples=100, deadline=None)
@given(
    payload=st.dictionaries(
        _TEXTS,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
            lambda each: st.lists(each, max_size=3) | st.dictionaries(_TEXTS, each, max_size=3),
        ),
        max_size=15,
    ),
    event_type=st.sampled_from([*CATALOGUE, "custom.x"]),
)
def test_whatever_a_payload_holds_there_is_a_message(format_: str, payload: dict[str, Any], event_type: str) -> None:
    """Also where its fields are not what the type's schema says, as in a row of an earlier time."""
    body = encoded(payload)
    if len(body) <= PAYLOAD_LIMIT_BYTES:
        assert told(format_, an_occurrence(event_type, payload=body)).live == []


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize(
    "character",
    ["a", "<", "&", "*", "\\", '"', "\n.", "é", "会", "👩\u200d👩\u200d👧", "e\u0301\u0302", "𝔪", "🇩🇪", "👍🏽"],
)
def test_the_longest_texts_are_cut_between_characters(format_: str, character: str) -> None:
    """Nothing is broken: neither the JSON nor an escape nor what people see as one character."""
    size = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    text = character * ((PAYLOAD_LIMIT_BYTES - 400) // size)
    shown = told(format_, a_summary(text[:500], text))
    assert shown.live == []
    longest = max(shown.texts, key=len).removesuffix("…").rstrip()
    assert len(longest) > 500
    assert re.fullmatch(f"(?:{re.escape(character.strip())}|\n)*", longest) is not None, longest[-20:]
    fields = {f"{character[0]}{number}": character * 60 for number in range(12)}
    assert told(format_, a_custom(**fields)).live == []


@pytest.mark.parametrize("format_", READERS)
def test_a_summary_says_what_a_person_wants_to_know(format_: str) -> None:
    """Which meeting, how much there is to do, and the summary itself."""
    said = "\n".join(told(format_, a_summary("Weekly", "We ship.\nOn Monday.")).texts)
    for words in ("Summary ready", "Weekly", "Key points\n4", "Action items\n2", "We ship.\nOn Monday."):
        assert words in said


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize(
    ("event_type", "words"),
    [
        ("meeting.completed", ("Meeting completed", "Weekly", "30 min 34 s", "Segments\n212", "Summary\nyes")),
        ("recording.started", ("Recording started", "Weekly")),
        ("recording.stopped", ("Recording stopped", "Weekly", "Duration\n30 min 34 s")),
        ("webhook.test", ("Test", "NoteFlow can post here.", "0192f3c1-5b1e-7c42-9d0a-3f6e1c2b7a90")),
        ("webhook.failing", ("An endpoint keeps failing", "Endpoint\n0192f3c1", "does not want webhooks any more")),
        ("webhook.disabled", ("An endpoint was disabled", "Endpoint\n0192f3c1", "does not want webhooks any more")),
        ("webhook.certificate_expiring", ("Client certificate ends soon", "Ends\n2026-03-02T12:00:00+00:00")),
        ("custom.deal.won", ("custom.deal.won", "amount\n1000000000000000000", '"tags": ["a", null, true, 1.5]')),
    ],
)
def test_each_type_is_told_in_words(format_: str, event_type: str, words: tuple[str, ...]) -> None:
    """With what it is about, and how long it took."""
    said = "\n".join(told(format_, an_occurrence(event_type)).texts)
    for each in words:
        assert each in said


def test_more_fields_than_a_message_has_room_for_are_counted() -> None:
    """A reader sees that there is more."""
    assert message_of(a_custom(**{f"f{number}": number for number in range(12)})).text == "And 2 more fields."
    assert message_of(a_custom(**{f"f{number}": number for number in range(11)})).text == "And 1 more field."


@pytest.mark.parametrize("payload", [b"", b"[]", b"nonsense", b"[" * 5000, b'{"n":' + b"9" * 5000 + b"}"])
def test_a_payload_that_is_no_object_is_told_by_its_type(payload: bytes) -> None:
    """Nothing raises, as of a row that somebody changed by hand."""
    for format_ in READERS:
        assert "custom.x" in told(format_, an_occurrence("custom.x", payload=payload)).texts


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3599.4, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (93_784, "26 h 3 min"),
        *((each, "unknown") for each in (-1, None, True, "1", 1e300, float("nan"))),
    ],
)
def test_a_duration_is_told_in_words(seconds: object, words: str) -> None:
    """As people say it."""
    assert duration(seconds) == words


@pytest.mark.parametrize("format_", READERS)
def test_no_text_of_the_event_is_in_two_messages(format_: str) -> None:
    """The same event gives the same bytes, at whichever attempt."""
    first, second = (RENDERERS[format_, 1](a_summary("a", "b")).body for _ in range(2))
    assert first == second


@pytest.mark.parametrize("format_", READERS)
@pytest.mark.parametrize(
    "hidden", "\u202e\u202d\u2066\u2069\u200e\u200f\u061c\u200b\u2060\ufeff\u00ad\u034f\u3164\u2800\U000e0041\x1b\x85"
)
def test_what_nobody_sees_or_turns_the_line_is_left_out(format_: str, hidden: str) -> None:
    """``txt.exe`` would be read backwards, and a word with a gap in it would be another word."""
    body = RENDERERS[format_, 1](a_summary(f"a{hidden}b", f"c{hidden}d")).body.decode()
    assert hidden not in body
    assert json.dumps(hidden)[1:-1] not in body


def test_emoji_and_scripts_that_join_stay_whole() -> None:
    """A family is three people and two joiners; Persian needs its non-joiner."""
    persian, hebrew = "\u0645\u06cc\u200c\u062e\u0648", "\u05e9\u05dc\u05d5\u05dd"
    for text in ("👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "e\u0301", persian, hebrew):
        assert clean(text) == text
