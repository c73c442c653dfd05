"""`deliveries tail` prints what is new or changed, once."""

from __future__ import annotations

from typing import Any

from noteflow_hooks.cli.tailing import Changes, line


def a_row(**overrides: Any) -> dict[str, Any]:  # noqa: ANN401 - a field's value
    row = {"id": "d-1", "event_type": "meeting.completed", "status": "pending", "attempt_count": 0}
    return row | overrides


def test_what_is_new_or_has_changed_comes_once_and_oldest_first() -> None:
    """A row that looks as before is silent."""
    changes = Changes()
    older, newer = a_row(id="a"), a_row(id="b")
    assert list(changes.among([newer, older])) == [older, newer]
    assert list(changes.among([newer, older])) == []
    failed = a_row(id="a", attempt_count=1, next_attempt_at="2026-01-31T12:00:00Z")
    assert list(changes.among([newer, failed])) == [failed]


def test_only_so_many_are_remembered() -> None:
    """A tail may run for weeks."""
    changes = Changes(remembered=2)
    for number in range(5):
        list(changes.among([a_row(id=str(number))]))
    assert list(changes.among([a_row(id="4")])) == []
    assert list(changes.among([a_row(id="0")])) == [a_row(id="0")]


def test_a_line_says_what_is_known() -> None:
    """And no more."""
    assert line(a_row()) == "d-1  meeting.completed  pending    attempts 0"
    settled = a_row(status="dead", attempt_count=2, status_code=500, duration_ms=3, error_message="HTTP\n500")
    assert line(settled) == r"d-1  meeting.completed  dead       attempts 2  HTTP 500  3 ms  HTTP\n500"
