"""What may go to Celery out of a queue, and what is dropped before it."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.settings import PREFIX
from tests.support.poison_messages import NO_MESSAGE, POISON, a_message, with_body
from workers.messages import LIMIT_BYTES, problem_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The queue of one `celery inspect`.
ANSWERS = "0f.reply.celery.pidbox"
#: Damages of messages that Celery and the tasks see to, since nothing of it ends a worker.
HARMLESS = {
    "expired",
    "group a list",
    "ids null",
    "ids a number",
    "ids text",
    "ids an object",
    "ids nested",
    "ids of nothing",
    "ids of other kinds",
    "ids that are none",
    "no arguments",
    "task with control characters",
    "ten thousand ids of nothing",
    "too many arguments",
    "unknown keyword",
    "unknown task",
}


def test_a_task_as_celery_sends_it_is_handed_on() -> None:
    """With a time before which it waits, and one after which it is not wanted, too."""
    assert problem_with(json.dumps(a_message([str(uuid4())])).encode()) is None
    timed = a_message([], eta="2026-01-31T12:00:00.5+00:00", expires="2026-01-31T12:00:00+00:00", retries=3)
    assert problem_with(json.dumps(timed | {"headers": timed["headers"] | {"timelimit": [None, 5]}}).encode()) is None


@pytest.mark.parametrize("name", sorted(POISON.keys() - HARMLESS))
def test_what_is_no_task_is_dropped_with_a_line(name: str) -> None:
    """The line is short and repeats nothing of it."""
    problem = problem_with(POISON[name])
    assert problem is not None
    assert problem.isprintable()
    assert len(problem) < 100


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_what_celery_and_the_tasks_see_to_is_handed_on(name: str) -> None:
    """Celery logs and drops it, or the task does without it."""
    assert problem_with(POISON[name]) is None


@pytest.mark.parametrize("name", sorted(NO_MESSAGE))
def test_no_queue_takes_what_is_no_message(name: str) -> None:
    """Not one that holds answers to inspections either."""
    assert problem_with(POISON[name], queue=ANSWERS) is not None


def test_an_answer_to_an_inspection_need_not_be_a_task() -> None:
    """Its body is an object, and its headers are empty."""
    answer = with_body('{"worker@host": {"ok": "pong"}}') | {"headers": {}}
    assert problem_with(json.dumps(answer).encode(), queue=ANSWERS) is None
    assert problem_with(json.dumps(answer).encode()) is not None


def test_a_message_may_be_as_long_as_the_limit() -> None:
    """One byte more is dropped unread."""
    whole = json.dumps(a_message([])).encode()
    assert problem_with(whole.ljust(LIMIT_BYTES)) is None
    assert problem_with(whole.ljust(LIMIT_BYTES + 1)) == f"at most {LIMIT_BYTES} bytes are allowed"


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], Any]:
    """What tasks take for ids; their module reads its settings as it is imported."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    found: Callable[[Any], Any] = importlib.import_module("workers.tasks").named
    return found


@pytest.mark.parametrize("given", [None, 5, "text", {"a": 1}, [], ["nonsense", 5, None, [], {}, "\x00"]])
def test_a_hint_that_names_nothing_is_a_hint_all_the_same(named: Callable[[Any], Any], given: object) -> None:
    """The task takes what is due."""
    assert named(given) == []


def test_ids_among_what_is_none_are_taken(named: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """A line of the log counts the rest, and repeats none of it."""
    known = uuid4()
    assert named([str(known), "\x1b[2J", 5]) == [known]
    assert [each.getMessage() for each in caplog.records] == ["a hint names what is no id; 1 of 3 are"]
