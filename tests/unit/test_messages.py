"""What may go to Celery out of a queue, and what is dropped before it."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import fakeredis
import pytest
from celery.app.task import Context
from celery.beat import Scheduler
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.broker.names import DELIVER_TASK, DISPATCH_TASK, QUEUES, TASKS
from noteflow_hooks.settings import PREFIX
from tests.support.poison_messages import NO_MESSAGE, POISON, a_message, with_body
from workers.messages import COMMANDS, LIMIT_BYTES, problem_with, problem_with_broadcast
from workers.transport import Channel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

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
    "ten thousand ids of nothing",
    "too many arguments",
    "unknown keyword",
}


def test_a_task_as_celery_sends_it_is_handed_on() -> None:
    """With a time before which it waits, and one after which it is not wanted, too."""
    assert problem_with(json.dumps(a_message([str(uuid4())])).encode()) is None
    timed = a_message([], eta="2026-01-31T12:00:00.5+00:00", expires="2026-01-31T12:00:00+00:00", retries=3)
    assert (
        problem_with(json.dumps(timed | {"headers": timed["headers"] | {"timelimit": [None, None]}}).encode()) is None
    )


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


#: A plain task's headers; what may stand in each, as Celery's own code and other programs might put it there.
PLAIN: Final = a_message([])["headers"]
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
#: All that Celery takes for a request's attributes or a message's headers.
NAMES: Final = (
    sorted(name for name in vars(Context) if not name.startswith("_"))
    + sorted(PLAIN)
    + ["timelimit", "stamped_headers", "stamps", "compression", "taskset", "shadow", "groups", "meth", "clock", "x"]
)


def is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 256 and value.isprintable()


def is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value).astimezone(UTC))
    except (ValueError, OverflowError):
        return False


#: What a task of ours may say in a header, and nothing else.
ALLOWED: Final[dict[str, Callable[[Any], bool]]] = {
    "task": lambda value: value in TASKS,
    "retries": lambda value: type(value) is int and 0 <= value < 2**31,
    "timelimit": lambda value: value in (None, [None, None]),
    "ignore_result": lambda value: value is None or isinstance(value, bool),
    **dict.fromkeys(("group", "group_index", "shadow", "stamped_headers", "stamps"), lambda value: not value),
    "replaced_task_nesting": lambda value: not value,
    **dict.fromkeys(("argsrepr", "kwargsrepr"), lambda value: value is None or isinstance(value, str)),
    **dict.fromkeys(("lang", "origin", "root_id", "parent_id"), lambda value: value is None or is_name(value)),
    "id": is_name,
    **dict.fromkeys(("eta", "expires"), lambda value: value is None or is_moment(value)),
}


@given(changes=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3))
def test_a_header_is_what_our_tasks_have_there_or_the_message_is_dropped(changes: dict[str, Any]) -> None:
    """Each name that Celery knows, with each kind of value: nothing raises, and nothing else gets through."""
    problem = problem_with(json.dumps(a_message([]) | {"headers": PLAIN | changes}).encode())
    is_good = all(name in ALLOWED and ALLOWED[name](value) for name, value in changes.items())
    assert (problem is None) == is_good, (changes, problem)


@given(message=JSON, embed=JSON, info=JSON, priority=JSON)
def test_whatever_a_message_holds_nothing_is_raised(message: Any, embed: Any, info: Any, priority: Any) -> None:  # noqa: ANN401 - whatever JSON has
    """Anything in place of the whole, of what follows the task, and of where it belongs."""
    whole = a_message([], embed=embed)
    whole["properties"] |= {"delivery_info": info, "priority": priority}
    for each in (message, whole):
        for queue in ("", ANSWERS):
            assert isinstance(problem_with(json.dumps(each).encode(), queue=queue), str | None)
        for exchange in (COMMANDS, "celeryev"):
            assert isinstance(problem_with_broadcast(each, exchange=exchange), str | None)


def test_only_commands_are_taken_for_commands() -> None:
    """An event has no method; a task is neither, and its clock no number without end."""
    ping, event = with_body('{"method": "ping", "arguments": {}}'), with_body('[{"type": "worker-heartbeat"}]')
    assert problem_with_broadcast(ping) is None
    assert problem_with_broadcast(event) is not None
    assert problem_with_broadcast(event, exchange="celeryev") is None
    assert problem_with_broadcast(a_message([])) is not None
    assert problem_with_broadcast(ping | {"headers": {"clock": 10**400}}) == "its clock is none"
    assert problem_with_broadcast(ping | {"headers": {"compression": "gzip"}}) == "it is compressed"


def test_a_message_may_be_as_long_as_the_limit() -> None:
    """One byte more is dropped unread."""
    whole = json.dumps(a_message([])).encode()
    assert problem_with(whole.ljust(LIMIT_BYTES)) is None
    assert problem_with(whole.ljust(LIMIT_BYTES + 1)) == f"at most {LIMIT_BYTES} bytes are allowed"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The tasks' module, which reads its settings as it is imported."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    return importlib.import_module("workers.tasks")


@pytest.fixture
def named(tasks: ModuleType) -> Callable[[Any], Any]:
    """What tasks take for ids."""
    found: Callable[[Any], Any] = tasks.parsed_ids
    return found


def test_whatever_this_system_sends_is_handed_on(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task, at once and with a wait, from a worker, from beat, and given back by a worker that ends."""
    server = fakeredis.FakeServer()
    monkeypatch.setattr(Channel, "_get_client", lambda _: lambda **_: fakeredis.FakeRedis(server=server))
    app: Any = tasks.app
    with app.connection_for_write() as connection:
        for name in TASKS:
            given = ([str(uuid4())],) if name in (DISPATCH_TASK, DELIVER_TASK) else ()
            app.tasks[name].apply_async(given, connection=connection)
            app.tasks[name].apply_async(given, connection=connection, countdown=30, retries=7, queue="deliver.slow")
        beat = Scheduler(app)
        for entry in beat.schedule.values():
            beat.apply_async(entry, producer=app.amqp.Producer(connection))
    messages: list[Any] = [raw for queue in QUEUES for raw in fakeredis.FakeRedis(server=server).lrange(queue, 0, -1)]
    assert [problem_with(each) for each in messages] == [None] * (2 * len(TASKS) + 3)
    given_back = json.loads(messages[0])
    given_back["headers"]["redelivered"] = given_back["properties"]["delivery_info"]["redelivered"] = True
    assert problem_with(json.dumps(given_back).encode()) is None


@pytest.mark.parametrize("given", [None, 5, "text", {"a": 1}, [], ["nonsense", 5, None, [], {}, "\x00"]])
def test_a_hint_that_names_nothing_is_a_hint_all_the_same(named: Callable[[Any], Any], given: object) -> None:
    """The task takes what is due."""
    assert named(given) == []


def test_ids_among_what_is_none_are_taken(named: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """A line of the log counts the rest, and repeats none of it."""
    known = uuid4()
    assert named([str(known), "\x1b[2J", 5]) == [known]
    assert [each.getMessage() for each in caplog.records] == ["a message names what is no id; 1 of 3 are"]
