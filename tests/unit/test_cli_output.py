"""What commands print: aligned, whole, and harmless to the terminal."""

from __future__ import annotations

import json

import pytest

from noteflow_hooks.cli.support.output import pretty_json, show_fields, show_rows
from noteflow_hooks.printable import cell, escape, table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Lines end with their last cell, so that nothing trails."""
    assert table(["ID", "NAME"], [["1", "a long one"], ["22", "b"]]) == "ID  NAME\n1   a long one\n22  b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("", "-"), ([], "-"), (True, "yes"), (False, "no"), (0, "0"), (["a", "b"], "a,b")],
)
def test_every_value_is_one_word_or_line(value: object, shown: str) -> None:
    """Nothing is a dash, and zero is not nothing."""
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("\x7f", r"\x7f"),
        ("\x9b", r"\x9b"),
        ("\u202e", r"\u202e"),
        ("é", "é"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    """What a caller named a meeting, or a receiver answered, can't steer the terminal."""
    assert escape(text) == shown


def test_a_payload_is_shown_with_a_line_for_each_field() -> None:
    """Decoded, and then without its control characters."""
    assert pretty_json('{"title":"caf\\u00e9 \\u009b"}') == '{\n  "title": "café \\x9b"\n}'


def test_what_is_no_json_is_shown_as_it_is() -> None:
    """A receiver on a test machine gets all kinds of bodies."""
    assert pretty_json("<html>\x1b") == "<html>\\x1b"


def test_json_is_one_array_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """All fields, not only those of the table."""
    rows = [{"id": "1", "title": "\x9bé"}]
    show_rows(rows, columns=["id"], as_json=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == rows
    assert printed.isascii()


def test_fields_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without those that are shown elsewhere."""
    show_fields({"id": "1", "signed": True, "payload": "{}"}, as_json=False, leave_out=["payload"])
    assert capsys.readouterr().out == "id      1\nsigned  yes\n"


def test_what_has_fields_of_its_own_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its name, as in an endpoint's health."""
    show_fields({"health": {"state": "failing", "failures": 3}}, as_json=False)
    assert capsys.readouterr().out == "health  state failing, failures 3\n"
