"""Filters on the real library: what they say, what is refused and where, and that none costs more than it may.

A cost is held against other work beside it. What might crash the interpreter runs in a child process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from noteflow_hooks.domain.filters import MATCHED, NOT_MATCHED, FilterAnswer, Verdict
from noteflow_hooks.errors import FiltersMissingError, InvalidInputError
from noteflow_hooks.filters import CelFilters
from noteflow_hooks.filters.evaluator import KEPT
from noteflow_hooks.filters.patterns import size_of
from tests.support.filter_fuzz import BUDGET_UNITS, a_unit, took
from tests.support.shares import first_of

FILTERS: Final = CelFilters()
# So that no test has to load the library while it is timed.
FILTERS.check("true")
MEETING: Final = {
    "event": "meeting.completed",
    "timestamp": "2026-11-02T09:30:00+00:00",
    "meeting_id": "m1",
    "title": "Budget review, Q4",
    "duration_seconds": 1900.0,
    "segment_count": 12,
    "has_summary": True,
}
FUZZED: Final = 10_000
SEEDS: Final = range(10)


def asked(text: str, data: dict[str, Any] | None = None, *, event_type: str = "meeting.completed") -> Verdict:
    """Check the filter and ask it about an event."""
    FILTERS.check(text)
    payload = json.dumps(MEETING if data is None else data, separators=(",", ":"), ensure_ascii=False).encode()
    return FILTERS.evaluate(text, event_type=event_type, payload=payload)


def refusal(text: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        FILTERS.check(text)
    assert caught.value.field == "filter"
    return caught.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "data.duration_seconds >= 1800.0",
        "data.duration_seconds > 1800",
        'data.title.contains("Budget")',
        'data.title.matches("(?i)budget|plan")',
        'data.title.startsWith("Budget") && data.has_summary',
        "data.has_summary",
        'type == "meeting.completed" && !has(data.executive_summary)',
        'type in ["meeting.completed", "summary.generated"]',
        'timestamp(data.timestamp).getHours("Europe/Berlin") == 10',
        "data.segment_count + 1 == 13",
        "size(data.title) < 500",
        'data["title"] != ""',
        "[1, 2].exists(each, each == 2) ? true : false",
        'type(data.title) == string && type == "meeting.completed"',
    ],
)
def test_a_filter_says_which_events_an_endpoint_gets(text: str) -> None:
    """Each of these matches the meeting; the opposite of it does not."""
    assert asked(text) == MATCHED
    assert asked(f"!({text})") == NOT_MATCHED


def test_nested_payloads_are_asked_by_exists_and_all() -> None:
    """As the workspaces' own types may have them."""
    order = {"lines": [{"price": 5, "tags": ["new"]}, {"price": 150, "tags": []}], "paid": None, "total": 2**70}
    assert asked("data.lines.exists(line, line.price > 100)", order) == MATCHED
    assert asked("data.lines.all(line, line.price > 100)", order) == NOT_MATCHED
    assert asked('data.lines.exists_one(line, "new" in line.tags)', order) == MATCHED
    assert asked("data.paid == null && data.total > 1000", order) == MATCHED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data.owner == 'a'", "a field is missing: 'owner'; has() tells whether there is one"),
        ("data[data.title] == 1", "a field is missing; has() tells whether there is one"),
        ("data.title > 1", "an operator or function doesn't take values of these types"),
        ("data.title", "it gives no bool, but a value of type string"),
        ("data.title.length == 1", "a field is asked of what has none"),
        ("1 / (data.segment_count - 12) == 1", "a number is divided by zero"),
        ("timestamp(data.title) < timestamp(data.timestamp)", "a text is no timestamp"),
        ("[1][data.segment_count] == 1", "a list has no such element"),
        ("int(data.title) == 1", "a value can't be converted"),
        ('timestamp(data.timestamp).getHours("Atlantis") == 1', "there is no such time zone"),
        ("9223372036854775807 + data.segment_count > 1", "a number is too large"),
    ],
)
def test_an_error_at_evaluation_is_told_without_any_text_of_the_payload(text: str, reason: str) -> None:
    """A field's name is the filter's own where it stands there, and left out where it was computed."""
    assert asked(text) == Verdict(FilterAnswer.ERROR, reason)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("data.a >", "line 1, column 9: "),
        ("true &&\n  data..b", "line 2, column 8: "),
        ("title == 'a'", "line 1, column 1: undeclared reference to 'title'"),
        ("data.a.nosuch()", "undeclared reference to 'nosuch'"),
        ("size(1) == 1", "found no matching overload for 'size' applied to '(int)'"),
        ("\n", "line 2, column 1: "),
    ],
)
def test_what_is_no_filter_is_refused_with_the_place_and_the_reason(text: str, place: str) -> None:
    """Line and column count from 1, and no word is the library's own code for an error."""
    assert refusal(text).startswith("is no valid CEL expression: ")
    assert place in refusal(text)
    assert "INVALID_ARGUMENT" not in refusal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 + 1", "is of type int; a filter is of type bool"),
        ("type", "is of type string; a filter is of type bool"),
        ("data", "is of type map"),
        ("(" * 40 + "true" + ")" * 40, "is nested too deep"),
        ("data" + ".a" * 40 + " == 1", "is nested too deep"),
        ("data.l.map(x, x + x) == []", "makes a list by map or filter"),
        ("data.l.filter(x, x > 1) == []", "makes a list by map or filter"),
        ("google.protobuf.Any{} == null", "makes a message"),
        ("google.protobuf.Struct{} == {}", "makes a message"),
        ("data.t.matches(data.u)", "a regular expression that is not written out"),
        ('data.t.matches("[")', "a regular expression that RE2 doesn't take"),
        ('data.t.matches("(?=a)")', "a regular expression that RE2 doesn't take"),
        ('data.t.matches("a{1000}b")', "a regular expression of 1,001 steps"),
        (r'data.t.matches("\\pL{3}")', "a regular expression of 1,500 steps"),
        (r'data.t.matches("\\Q[\\E(a{1000})")', r"a regular expression with \Q"),
        (" || ".join(f'data.t.matches(".{{90}}{each}")' for each in range(9)), "would take too long"),
        ("[data, data, data] == [data, data, data] || " * 19 + "true", "would take too long"),
    ],
)
def test_what_a_filter_may_not_be_is_refused_when_it_is_set(text: str, reason: str) -> None:
    """Whatever may cost too much over any payload, makes larger values, or is no bool."""
    assert reason in refusal(text)


def test_a_payload_over_which_a_filter_would_take_too_long_is_an_error_and_not_evaluated() -> None:
    """Over a usual one it says what it says."""
    text = "data.l.exists(x, data.l == data.l && x < 0)"
    assert asked(text, {"l": [1, 2, 3]}) == NOT_MATCHED
    large = {"l": [1] * 4_000}
    verdict = asked(text, large)
    assert verdict.answer is FilterAnswer.ERROR
    assert "too long" in verdict.reason
    assert took(lambda: asked(text, large)) < a_unit()


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 0),
        ("abc", 3),
        (r"\d{4}-\d{2}", 6 * 4 + 1 + 6 * 2),
        ("(ab){3}", 9),
        ("((a{2}){3}){4}", ((2 + 1) * 3 + 1) * 4),
        ("a{2,5}", 5),
        ("a{2,}", 2),
        (r"\pL{2}", 1000),
        (r"\p{Greek}", 500),
        (r"[\pL\PN]x", 6 + 1000 + 1),
        ("[]a{9}]b", 6 + 1),
        ("[[:alpha:]{9}]", 6),
        ("a)b(c", 4),
        (r"\(", 1),
        ("[", 6),
    ],
)
def test_an_expressions_size_counts_repetitions_and_classes(pattern: str, size: int) -> None:
    """Also what is no expression has one, before the library refuses it."""
    assert size_of(pattern) == size


def test_programs_are_kept_for_so_many_filters_and_no_more() -> None:
    """The one that was unused for longest goes first."""
    filters = CelFilters()
    for number in range(KEPT + 5):
        filters.check(f"data.n == {number}")
        filters.check("true")
    assert len(filters._programs) == KEPT  # noqa: SLF001 - what is kept shows nowhere else
    assert "true" in filters._programs  # noqa: SLF001 - as above
    assert "data.n == 0" not in filters._programs  # noqa: SLF001 - as above


def test_without_the_extra_a_filter_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an event is not judged: it waits for a worker that can."""
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    filters = CelFilters()
    with pytest.raises(FiltersMissingError, match=r"pip install 'noteflow-hooks\[filters\]'"):
        filters.check("true")
    verdict = filters.evaluate("true", event_type="meeting.completed", payload=b"{}")
    assert verdict.answer is FilterAnswer.UNAVAILABLE
    assert "noteflow-hooks[filters]" in verdict.reason


def test_a_fault_of_our_own_is_no_verdict() -> None:
    """A stored filter that a later version of the library refuses, or a payload that is none."""
    assert FILTERS.evaluate("1 + 1", event_type="a", payload=b"{}").answer is FilterAnswer.UNAVAILABLE
    assert FILTERS.evaluate("true", event_type="a", payload=b"{").answer is FilterAnswer.UNAVAILABLE


@pytest.mark.parametrize("seed", first_of(SEEDS, 2))
def test_of_ten_thousand_fuzzed_filters_none_raises_crashes_or_goes_over_its_budget(seed: int) -> None:
    """In a child process: nothing but our refusal comes of them, and each judges four payloads within the budget."""
    arguments = [sys.executable, "-m", "tests.support.filter_fuzz", str(seed), str(FUZZED // len(SEEDS))]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["taken"] > FUZZED // len(SEEDS) // 5
    assert found["refused"] > FUZZED // len(SEEDS) // 5
    assert min(found[answer] for answer in ("matched", "filtered", "error")) > 100
    assert found["unavailable"] == 0
    assert found["units"] < BUDGET_UNITS, found["worst"]
