"""Options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from noteflow_hooks.cli.support.options import Ahead, Moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_iso_8601_and_utc_where_it_names_no_zone(text: str, moment: datetime) -> None:
    """As every time that the commands print is."""
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)])
def test_a_time_may_be_so_long_ago(text: str, ago: int) -> None:
    """Which is what one wants to type."""
    before = datetime.now(UTC)
    given = Moment().convert(text, None, None)
    assert before <= given + timedelta(seconds=ago) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["yesterday", "", "99999999999999999999d", "1w"])
def test_another_time_is_refused_with_what_is_allowed(text: str) -> None:
    """In one line, with examples."""
    with pytest.raises(click.BadParameter, match="2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d ago"):
        Moment().convert(text, None, None)


@pytest.mark.parametrize(("text", "ahead"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("90d", 7_776_000)])
def test_an_end_may_be_so_long_from_now(text: str, ahead: int) -> None:
    """Which is how one thinks of it."""
    before = datetime.now(UTC)
    given = Ahead().convert(text, None, None)
    assert before <= given - timedelta(seconds=ahead) <= datetime.now(UTC)


def test_an_end_may_be_a_time() -> None:
    """ISO 8601, in UTC where it names no zone."""
    assert Ahead().convert("9000-01-31", None, None) == datetime(9000, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0s", "2020-01-31", "2020-01-31T12:00:00Z"])
def test_an_end_that_is_past_is_refused(text: str) -> None:
    """What it is for would be over before it began."""
    with pytest.raises(click.BadParameter, match="is past"):
        Ahead().convert(text, None, None)


@pytest.mark.parametrize("text", ["tomorrow", "", "99999999999999999999d", "1w", "-1d"])
def test_another_end_is_refused_with_what_is_allowed(text: str) -> None:
    """In one line, with examples."""
    with pytest.raises(click.BadParameter, match="2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d from now"):
        Ahead().convert(text, None, None)
