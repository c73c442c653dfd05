"""What gathered events rely on of Celery's dispatcher, thing by thing, and what becomes of them while none is taken."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from importlib.metadata import version
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import pytest
from celery.events import dispatcher, receiver
from celery.worker import request, strategy
from celery.worker.consumer import consumer as consumer_module
from celery.worker.consumer import events as events_step
from kombu.exceptions import OperationalError

from workers import event_internals
from workers.celery_internals import GuardedCelery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from workers.event_internals import GatheredEvents

#: The Celery that `workers/event_internals.py` was read against.
READ_FOR: Final = "5.7.0"
#: A function of Celery's, what it uses by these names, and what of ours rests on that.
USES: Final[list[tuple[ModuleType, str, tuple[str, ...], str]]] = [
    (dispatcher, "EventDispatcher.send", ("_prepare_event", "_publish", "mutex", "groups"), "ours stands before it"),
    (dispatcher, "EventDispatcher._publish", ("buffer_while_offline",), "what could not be sent is told of"),
    (dispatcher, "EventDispatcher.close", ("_closed", "mutex"), "nothing is sent behind the end"),
    (events_step, "Events.start", ("extend_buffer", "flush", "Dispatcher"), "a new connection takes over what waits"),
    (strategy, "default", ("event_dispatcher", "send"), "that a task came is told by it"),
    (request, "Request.send_event", ("_eventer", "send"), "and so is all that follows"),
    (receiver, "EventReceiver._receive", ("process", "event_from_message"), "watchers take events apart again"),
    (consumer_module, "Consumer.shutdown", ("perform_pending_operations", "blueprint"), "the last are sent before"),
]


def test_celery_is_the_one_that_was_read() -> None:
    """Another version may keep every test below green, and still do something else in between."""
    installed = version("celery")
    assert installed == READ_FOR, (
        f"celery {installed} is installed, and event_internals.py was read against {READ_FOR}: read what this file "
        "lists again in the new version, run tests/integration/test_worker_events.py, and then change READ_FOR"
    )


@pytest.mark.parametrize(("module", "path", "names", "reason"), USES, ids=[reason for *_, reason in USES])
def test_celery_still_does_what_is_relied_on(
    module: ModuleType, path: str, names: tuple[str, ...], reason: str
) -> None:
    """By the names and words in the function's own code."""
    code = inspect.unwrap(attrgetter(path)(module)).__code__
    used = {*code.co_names, *code.co_varnames, *map(str, code.co_consts)}
    missing = [name for name in names if name not in used]
    assert not missing, f"Celery's {path} uses no {', '.join(missing)} any more, but {reason}"


class Watched:
    """A dispatcher of the workers' app, and what a watcher of its events is told."""

    def __init__(self, stack: ExitStack) -> None:
        self._app = GuardedCelery("events", broker="memory://localhost", set_as_current=False)
        self._connection = stack.enter_context(self._app.connection_for_write())
        self._told: list[dict[str, Any]] = []
        watcher = self._app.events.Receiver(self._connection, handlers={"*": self._told.append})
        self._watching, *_ = stack.enter_context(watcher.consumer_context())

    def dispatcher(self) -> GatheredEvents:
        """Return one as a worker makes it."""
        options: Any = {"enabled": True, "buffer_group": ["task"], "on_send_buffered": None}
        made: GatheredEvents = self._app.events.Dispatcher(self._connection, **options)
        return made

    @property
    def told(self) -> list[tuple[str, object]]:
        """What the watcher has been told so far: events' types, and which task they are about."""
        while True:
            try:
                self._watching.drain_events(timeout=0)
            except TimeoutError:
                return [(each["type"], each.get("uuid")) for each in self._told]


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


def refuse(monkeypatch: pytest.MonkeyPatch, events: GatheredEvents) -> None:
    """Have a dispatcher's way to Redis raise."""

    def publish(*_: object, **__: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(events.producer, "publish", publish)


def test_events_of_tasks_wait_and_are_sent_in_their_order(watched: Watched) -> None:
    """A heartbeat does not wait; where nobody gathers, nothing does."""
    events = watched.dispatcher()
    events.send("task-received", uuid="a")
    assert watched.told == [("task-received", "a")]
    events.gather()
    events.send("task-started", uuid="a")
    events.send("worker-heartbeat")
    events.send("task-succeeded", uuid="a")
    assert watched.told[1:] == [("worker-heartbeat", None)]
    events.flush()
    assert watched.told[2:] == [("task-started", "a"), ("task-succeeded", "a")]


def test_a_hundred_wait_for_nobody(watched: Watched) -> None:
    """Else a busy worker would send a second's events at once, and its other work would wait for that."""
    events = watched.dispatcher()
    events.gather()
    for number in range(250):
        events.send("task-started", uuid=number)
    assert len(watched.told) == 200
    events.gather_no_more()
    events.send("task-started", uuid=250)
    assert [number for _, number in watched.told] == list(range(251))


def test_events_that_nobody_is_to_hear_of_are_not_kept(watched: Watched) -> None:
    """Without ``-E`` a worker tells of itself alone, until ``celery control enable_events``."""
    events = watched.dispatcher()
    events.groups = {"worker"}
    events.gather()
    events.send("task-started", uuid="a")
    events.groups.add("task")
    events.send("task-started", uuid="b")
    events.flush()
    assert watched.told == [("task-started", "b")]


def test_an_outage_raises_nothing_and_keeps_the_newest_of_so_many(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever tells of an event is not stopped; the next connection sends what was kept, in its order."""
    lost, events = watched.dispatcher(), watched.dispatcher()
    refuse(monkeypatch, lost)
    lost.gather()
    kept = event_internals._KEPT  # noqa: SLF001 - how many are kept is nobody else's matter
    for number in range(kept + 50):
        lost.send("task-started", uuid=number)
        lost.send("worker-heartbeat")
        lost.flush()
    lost.gather_no_more()
    lost.close()
    events.extend_buffer(lost)
    events.flush()
    assert [number for _, number in watched.told] == list(range(50, kept + 50))


def test_what_is_told_of_at_once_is_sent_later_where_it_was_refused(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a worker ends: its last tasks' ends are still to be seen. Of heartbeats only the newest counts."""
    events = watched.dispatcher()
    with monkeypatch.context() as away:
        refuse(away, events)
        events.send("task-succeeded", uuid="a")
        events.send("worker-heartbeat")
    events.flush()
    assert watched.told == [("task-succeeded", "a")]


def test_nobody_waits_for_what_another_sends(watched: Watched) -> None:
    """A Redis that is frozen holds up one of a worker's tasks at most, and none that only tells of an event."""
    events = watched.dispatcher()
    events.gather()
    with events.mutex:
        for number in range(150):
            events.send("task-started", uuid=number)
        assert watched.told == []
    events.flush()
    assert len(watched.told) == 150
