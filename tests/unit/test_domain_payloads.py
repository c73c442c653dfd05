"""The bytes of a payload: their order, their limit, and what they refuse."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES, check_text, encode
from noteflow_hooks.errors import InvalidInputError

#: One to four bytes as UTF-8, and those that JSON writes as two or six characters.
LETTERS = st.sampled_from(["a", "é", "漢", "😀", '"', "\\", "\n", "\x01", "\x7f", "\u2028"])


def filled(size: int) -> dict[str, object]:
    """Return a payload of exactly that many bytes as sent."""
    return {"text": "x" * (size - len(b'{"text":""}'))}


def test_a_payload_is_compact_utf8_in_the_order_given() -> None:
    """Nothing is sorted, spaced or escaped that need not be."""
    body = encode({"z": "ü😀", "a": 1, "m": 2.5, "b": True, "n": None, "q": '"\\\n\x01'})
    assert body == '{"z":"ü😀","a":1,"m":2.5,"b":true,"n":null,"q":"\\"\\\\\\n\\u0001"}'.encode()


def test_a_payload_may_have_as_many_bytes_as_the_limit() -> None:
    """10,240 bytes pass as they are."""
    assert len(encode(filled(10_240))) == PAYLOAD_LIMIT_BYTES == 10_240


def test_one_byte_too_many_is_refused_with_size_and_limit() -> None:
    """The refusal says how large the payload is and how large it may be."""
    with pytest.raises(InvalidInputError, match=r"has 10241 bytes .* at most 10240") as caught:
        encode(filled(10_241))
    assert caught.value.field == "payload"


def test_the_limit_counts_bytes_and_not_characters() -> None:
    """Text of more than one byte a character fills the payload faster."""
    assert encode({"text": "é" * 5_000})
    with pytest.raises(InvalidInputError, match="has 12011 bytes"):
        encode({"text": "é" * 6_000})


def test_a_summary_that_fits_is_left_alone() -> None:
    """Nothing is said of truncation where nothing was cut."""
    size = PAYLOAD_LIMIT_BYTES - len(b'{"executive_summary":""}')
    assert json.loads(encode({"executive_summary": "s" * size})) == {"executive_summary": "s" * size}


@settings(deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=20), st.integers(0, 9_000))
def test_a_summary_is_cut_to_the_longest_beginning_that_fits(letters: list[str], title: int) -> None:
    """It is a whole number of characters, says that it was cut, and one more would be too many."""
    summary = "".join(letters) * 11_000
    fields = {"title": "t" * title, "executive_summary": summary, "key_points_count": 1}
    body = encode(fields)
    sent = json.loads(body)
    kept = sent["executive_summary"]
    assert list(sent) == ["title", "executive_summary", "key_points_count", "truncated"]
    assert sent == fields | {"executive_summary": kept, "truncated": True}
    assert summary.startswith(kept)
    following = json.dumps(summary[len(kept)], ensure_ascii=False).encode()
    assert len(body) <= PAYLOAD_LIMIT_BYTES < len(body) + len(following) - len(b'""')


def test_nothing_but_the_summary_is_ever_cut() -> None:
    """Where the rest alone is too large, the payload is refused whole."""
    with pytest.raises(InvalidInputError, match="at most 10240"):
        encode({"title": "t" * 11_000, "executive_summary": "s" * 100})


def test_a_summary_that_is_no_text_is_not_cut() -> None:
    """Only text can be shortened."""
    with pytest.raises(InvalidInputError, match="at most 10240"):
        encode({"executive_summary": 1, "title": "t" * 11_000})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (float("-inf"), "finite"),
        ("a\x00b", "NUL"),
        ("\ud83d", "surrogates"),
        ("\udc00x", "surrogates"),
        ([], "flat"),
        ({}, "flat"),
        ((1,), "flat"),
        (b"bytes", "flat"),
        (object(), "flat"),
    ],
)
def test_what_json_utf8_or_postgresql_cannot_carry_is_refused_by_name(value: object, problem: str) -> None:
    """The refusal names the field, however small the payload is."""
    with pytest.raises(InvalidInputError, match=problem) as caught:
        encode({"fine": 1, "field": value})
    assert caught.value.field == "field"


@pytest.mark.parametrize("name", ["a\x00", "\ud800"])
def test_the_names_of_fields_are_checked_too(name: str) -> None:
    """A name is text that is sent like any other."""
    with pytest.raises(InvalidInputError, match="field name"):
        encode({name: 1})


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), st.floats()))
def test_a_payload_reads_back_as_it_was_or_is_refused(fields: dict[str, float]) -> None:
    """Whatever is not refused is JSON that means the same."""
    try:
        body = encode(fields)
    except InvalidInputError:
        assert any(value != value or value in (float("inf"), float("-inf")) for value in fields.values())  # noqa: PLR0124 - NaN alone differs from itself
    else:
        assert json.loads(body) == fields


@pytest.mark.parametrize("text", ["", "abc", "é" * 3, "\U0010ffff", "\x7f\n\t"])
def test_storable_text_comes_back_as_it_is(text: str) -> None:
    """Control characters but NUL pass, and the limit counts characters."""
    assert check_text("title", text, limit=3) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("abcd", "has 4 characters; at most 3"),
        (" \n ", "must not be empty"),
        ("", "must not be empty"),
        ("\x00", "NUL"),
        ("\udfff", "surrogates"),
    ],
)
def test_text_that_is_not_allowed_is_refused_by_name(text: str, problem: str) -> None:
    """The refusal names the field and what is allowed."""
    with pytest.raises(InvalidInputError, match=rf"^title: .*{problem}"):
        check_text("title", text, limit=3, allow_empty=False)
