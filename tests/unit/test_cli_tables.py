"""Tables on a terminal and elsewhere: they fit, tell their ids apart, and are whole where nobody looks at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.cli.commands import deliveries
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.options import table_options
from noteflow_hooks.cli.support.output import show_fields, show_list, show_rows
from noteflow_hooks.cli.support.screen import Screen
from noteflow_hooks.cli.support.tables import rendered, with_text_behind
from noteflow_hooks.printable import columns_of, shortened

ROWS: list[dict[str, Any]] = [
    {
        "id": str(UUID(int=(0x0192F3C1 + number) << 96)),
        "name": "An endpoint with a long name" * number,
        "status": "dead" if number else "succeeded",
        "created_at": "2026-01-31T12:00:00.123456Z",
        "reason": None,
    }
    for number in range(3)
]
COLUMNS = ("id", "name", "status", "created_at", "reason")
RED, GREEN = "\x1b[31m", "\x1b[32m"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal of 80 columns."""
    monkeypatch.setattr("noteflow_hooks.cli.support.screen.is_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_fits_the_terminal(width: int) -> None:
    """The widest text gives first."""
    lines = rendered(ROWS, columns=COLUMNS, screen=Screen(width)).splitlines()
    assert max(map(columns_of, lines)) <= width
    assert lines[1].split()[0] == "0192f3c1"


@given(st.lists(st.tuples(st.uuids(), st.text(max_size=60)), min_size=1, max_size=8), st.integers(60, 200))
def test_any_table_fits_and_its_ids_tell_rows_apart(rows: list[tuple[UUID, str]], width: int) -> None:
    """East Asian characters take two columns, combining ones none."""
    shown = rendered(
        [{"id": str(one), "name": text} for one, text in rows], columns=("id", "name"), screen=Screen(width)
    )
    _, *lines = shown.splitlines()
    assert max(map(columns_of, lines)) <= width
    assert len({line.split()[0] for line in lines}) == len({one for one, _ in rows})


def test_ids_are_as_long_as_tells_them_apart_and_no_shorter_than_eight() -> None:
    """What is typed next is short."""
    ids = ["0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d", "0192f3c1-8a53-7bd1-9e0b-6c1f2a3b4c5d"]
    _, *lines = rendered([{"id": each} for each in ids], columns=["id"], screen=Screen(80)).splitlines()
    assert lines == ["0192f3c1-8a52", "0192f3c1-8a53"]
    assert rendered([{"id": ids[0]}], columns=["id"], screen=Screen(80)).splitlines()[1] == "0192f3c1"


def test_columns_that_can_be_missed_go_before_others_can_not_be_read() -> None:
    """In their order, and only as many as must."""
    columns, spare = ("id", "name", "url", "events"), ("events", "url")
    row = {"id": ROWS[0]["id"], "name": "n" * 30, "url": "u" * 40, "events": "e" * 50}
    heads = {
        width: rendered([row], columns=columns, screen=Screen(width), spare=spare).splitlines()[0].split()
        for width in (150, 60, 45, 30)
    }
    assert heads[150] == heads[60] == ["ID", "NAME", "URL", "EVENTS"]
    assert (heads[45], heads[30]) == (["ID", "NAME", "URL"], ["ID", "NAME"])


def test_times_are_short_where_they_must_fit() -> None:
    """Today's without the day, and others without the seconds."""
    now = datetime.now(UTC)
    rows = [{"created_at": f"{now:%Y-%m-%d}T01:02:03.5Z"}, {"created_at": "2020-01-31T12:34:56Z"}]
    assert rendered(rows, columns=["created_at"], screen=Screen(80)).splitlines() == [
        "CREATED", "01:02:03Z", "2020-01-31 12:34Z",
    ]  # fmt: skip


@pytest.mark.usefixtures("terminal")
def test_a_narrow_list_of_deliveries_keeps_its_ids_and_its_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids in the order of time begin alike, so one that is cut is every row's; a state that is cut keeps its colour."""
    monkeypatch.setenv("COLUMNS", "40")
    rows = [
        {**ROWS[0], "id": f"01a226de-cae3-7bd{number}-9947-3b6b28beee86", "event_type": "recording.started",
         "attempt_count": 1, "status_code": 200, "duration_ms": 3}
        for number in range(3)
    ]  # fmt: skip
    show_rows(rows, columns=deliveries.COLUMNS, spare=deliveries.SPARE, as_json=False)
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"01a226de-cae3-7bd{number}" for number in range(3)]
    assert all(GREEN in line for line in lines)
    assert max(columns_of(click.unstyle(line)) for line in lines) <= 40


@pytest.mark.usefixtures("terminal")
def test_states_have_colours_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In tables and in lists of fields."""
    show_rows(ROWS, columns=COLUMNS, as_json=False)
    show_fields({"status": "dead"}, as_json=False)
    printed = capsys.readouterr().out
    assert (printed.count(GREEN), printed.count(RED)) == (1, 3)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [("NO_COLOR", "1", False), ("NO_COLOR", "", True), ("TERM", "dumb", False)],
)
def test_no_color_is_heeded(
    name: str,
    value: str,
    coloured: bool,  # noqa: FBT001 - the case's
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever it holds but nothing, as no-color.org has it; the table still fits."""
    monkeypatch.setenv(name, value)
    show_rows(ROWS, columns=COLUMNS, as_json=False)
    printed = capsys.readouterr().out
    assert ("\x1b" in printed) == coloured
    assert ROWS[0]["id"] not in printed


def test_elsewhere_everything_is_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """As before a pipe: full heads, full ids, times as JSON has them."""
    show_rows(ROWS, columns=COLUMNS, as_json=False, spare=("name",))
    heads, first, *_ = capsys.readouterr().out.splitlines()
    assert heads.split() == ["ID", "NAME", "STATUS", "CREATED", "AT", "REASON"]
    assert first.split() == [ROWS[0]["id"], "-", "succeeded", "2026-01-31T12:00:00.123456Z", "-"]


@pytest.mark.usefixtures("terminal")
def test_wide_shows_whole_cells_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """For who wants to copy them."""

    @click.command()
    @table_options
    def lists(*, as_json: bool) -> None:
        show_rows(ROWS, columns=COLUMNS, as_json=as_json)

    lists.main(["--wide"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert all(str(row["id"]) in printed and str(row["name"] or "") in printed for row in ROWS)
    lists.main([], standalone_mode=False)
    assert max(columns_of(click.unstyle(line)) for line in capsys.readouterr().out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (3872, "3 of 3,872, the rest with --limit\n"),
        (10_000, "3 of more than 10,000, the rest with --limit\n"),
        (0, "3 of more, the rest with --limit\n"),
    ],
)
def test_what_is_left_is_said_beside_the_table(total: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, where it is in no pipe's way; never with --json."""
    found = Listing(ROWS, has_more=True, total=total)
    show_list(found, columns=COLUMNS, as_json=False, empty="none")
    assert capsys.readouterr().err == said
    show_list(found, columns=COLUMNS, as_json=True, empty="none")
    show_list(Listing(ROWS, total=3), columns=COLUMNS, as_json=False, empty="none")
    assert capsys.readouterr().err == ""


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And is an empty array for programs."""
    show_list(Listing([]), columns=COLUMNS, as_json=False, empty="none yet; `x` makes one")
    assert capsys.readouterr() == ("", "none yet; `x` makes one\n")
    show_list(Listing([]), columns=COLUMNS, as_json=True, empty="none")
    assert capsys.readouterr() == ("[]\n", "")


def test_text_behind_goes_on_below_itself() -> None:
    """Nothing that `doctor` advises is cut."""
    shown = with_text_behind(
        [("ok", "a check", "one two three four five six")], ("STATE", "CHECK", "FOUND"), screen=Screen(35)
    )
    assert shown.splitlines() == [
        "STATE  CHECK    FOUND", "ok     a check  one two three four", "                five six",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("会議の名前", 5, "会議…"), ("e\u0301e\u0301", 2, "e\u0301e\u0301")],
)
def test_text_is_cut_by_the_columns_that_it_takes(text: str, width: int, cut: str) -> None:
    """With an ellipsis where something is missing."""
    assert shortened(text, width) == cut
