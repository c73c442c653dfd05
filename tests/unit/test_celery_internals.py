"""What this project relies on of Celery's workers, thing by thing, and the version that was read for it."""

from __future__ import annotations

import inspect
import logging
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from billiard import common, pool, popen_fork
from celery import beat, signals
from celery.apps import worker as worker_app
from celery.bin import worker as worker_command
from celery.concurrency import prefork
from celery.exceptions import TaskRevokedError
from celery.worker import components, heartbeat, strategy, worker

from workers import celery_internals
from workers import scheduler as beat_scheduler
from workers.celery_internals import GuardedCelery, GuardedWorker
from workers.scheduler import SteadyScheduler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

#: The Celery that `workers/celery_internals.py` was read against.
READ_FOR: Final = "5.7.0"
#: A function of Celery's, what it uses by these names, and what of ours rests on that.
USES: Final[list[tuple[ModuleType, str, tuple[str, ...], str]]] = [
    (worker, "WorkController._process_task", ("execute_using_pool", "_quick_release"), "the guard stands around it"),
    (
        components,
        "Pool.create",
        ("_process_task", "_quick_release"),
        "workers call the guarded one, and count slots so",
    ),
    (popen_fork, "Popen.terminate", ("TERM_SIGNAL",), "children are ended by a signal that can be chosen"),
    (pool, "Pool.terminate_job", ("TERM_SIGNAL",), "so are those of one task"),
    (pool, "Worker.after_fork", ("initializer", "reset_signals"), "what is ignored by then stays ignored"),
    (common, "_should_override_term_signal", ("SIG_IGN",), "and it does so because it is ignored"),
    (prefork, "process_initializer", ("worker_process_init",), "a child tells us of its beginning before that"),
    (beat, "Scheduler.tick", ("_when", "is_due"), "beat's heap is ordered by the clock of SteadyScheduler"),
    (beat, "Scheduler.populate_heap", ("_when", "is_due"), "and so it is at first"),
    (beat, "Scheduler.reserve", ("schedule",), "each call makes a new entry, whose period begins then"),
    (strategy, "default", ("isEnabledFor", "create_request_cls"), "no line is made of a receipt that is not logged"),
    (heartbeat, "Heart._send", ("eventer", "send"), "heartbeats are sent by the app's own dispatcher"),
    (worker_command, "worker.callback", ("Worker",), "the command starts the app's own worker class"),
]


def test_celery_is_the_one_that_was_read() -> None:
    """Another version may keep every test below green, and still do something else in between."""
    installed = version("celery")
    assert installed == READ_FOR, (
        f"celery {installed} is installed, and celery_internals.py was read against {READ_FOR}: read what this file "
        "lists again in the new version, run tests/integration/test_poisoned_worker.py, and then change READ_FOR"
    )


@pytest.mark.parametrize(("module", "path", "names", "reason"), USES, ids=[reason for *_, reason in USES])
def test_celery_still_does_what_is_relied_on(
    module: ModuleType, path: str, names: tuple[str, ...], reason: str
) -> None:
    """By the names and words in the function's own code."""
    code = inspect.unwrap(attrgetter(path)(module)).__code__
    used = {*code.co_names, *map(str, code.co_consts)}
    missing = [name for name in names if name not in used]
    assert not missing, f"Celery's {path} uses no {', '.join(missing)} any more, but {reason}"


def test_the_apps_workers_are_guarded() -> None:
    """The class that `celery worker` starts."""
    app = GuardedCelery(set_as_current=False)
    assert issubclass(app.Worker, GuardedWorker)
    assert issubclass(GuardedWorker, worker_app.Worker)
    assert app.Worker.app is app


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clocks that beat goes by, which stand still until they are moved."""
    clocks = SimpleNamespace(monotonic=100.0, wall=datetime(2026, 1, 31, 12, tzinfo=UTC))
    monkeypatch.setattr(beat_scheduler, "time", SimpleNamespace(monotonic=lambda: clocks.monotonic))
    monkeypatch.setattr(GuardedCelery, "now", lambda _: clocks.wall)
    return clocks


def test_periods_go_by_the_monotonic_clock(clocks: SimpleNamespace) -> None:
    """Whatever the wall clock does meanwhile; each call begins a new period."""
    app = GuardedCelery(set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": 5.0}}
    scheduler: Any = SteadyScheduler(app, lazy=False)
    sent: list[float] = []
    scheduler.producer = None
    scheduler.apply_async = lambda *_, **__: sent.append(clocks.monotonic)
    for moved_s, wall_s in ((0, 0), (4.9, -600), (0.2, 0), (4.9, 7200), (0.2, 0)):
        clocks.monotonic += moved_s
        clocks.wall += timedelta(seconds=wall_s)
        while scheduler.tick() == 0:
            pass
    assert sent == pytest.approx([105.1, 110.2])


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Which processes billiard sends which signals."""
    sent: list[tuple[int, int]] = []
    for module in (pool, popen_fork):
        monkeypatch.setattr(module, "TERM_SIGNAL", signal.SIGTERM)
    monkeypatch.setattr(pool.Pool, "terminate_job", pool.Pool.terminate_job)
    monkeypatch.setattr(pool, "_kill", lambda *each: sent.append(each))
    monkeypatch.setattr("os.kill", lambda *each: sent.append(each))
    return sent


def test_a_worker_ends_its_children_by_sigquit(ends: list[tuple[int, int]]) -> None:
    """All of them, and one whose task is to end; other signals than SIGTERM are sent as they are."""
    celery_internals.end_children_by_sigquit()
    child: Any = SimpleNamespace(pid=5, returncode=None)
    popen_fork.Popen.terminate(child)
    made: Any = SimpleNamespace(_process_by_pid=lambda pid: (SimpleNamespace(pid=pid), 0))
    for each in (None, signal.SIGTERM, signal.SIGKILL):
        pool.Pool.terminate_job(made, 5, each)
    assert ends == [(5, signal.SIGQUIT)] * 3 + [(5, signal.SIGKILL)]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the process's own handlers back afterwards."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in kept.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_beat_ends_even_where_the_exception_that_ends_it_is_lost(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal is remembered, and beat's loop looks before its next step."""
    # What the workers' app has connected, where another test has imported it.
    monkeypatch.setattr(signals.beat_init, "receivers", [])
    service: Any = beat.Service(GuardedCelery(set_as_current=False))
    steps: list[int] = []

    def tick() -> float:
        steps.append(1)
        with suppress(SystemExit):
            signal.raise_signal(number)
        return 0.0

    service.__dict__["scheduler"] = SimpleNamespace(tick=tick, max_interval=1, close=lambda: None, sync=lambda: None)
    celery_internals.end_beat_at_its_next_step(service)
    service.start()
    assert steps == [1]


class Request:
    """A task's request that fails as the pool is to take it."""

    id = "a"

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.rejected: list[bool] = []

    def execute_using_pool(self, _: object) -> None:
        raise self._error

    def reject(self, *, requeue: bool) -> None:
        self.rejected.append(requeue)


def processed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[Request, list[Any], list[Any]]:
    """Have a worker begin with a task that fails so; return what came of it."""
    freed: list[Any] = []
    ready: list[Any] = []
    request: Request = Request(error)
    made: Any = GuardedWorker.__new__(GuardedWorker)
    made.pool = None
    made.__dict__["_quick_release"] = lambda: freed.append(1)
    monkeypatch.setattr(celery_internals, "_state", SimpleNamespace(task_ready=ready.append))
    attrgetter("_process_task")(made)(request)
    return request, freed, ready


@pytest.mark.parametrize("error", [ValueError("x"), TypeError("x"), OverflowError("x")])
def test_a_task_that_can_not_be_begun_gives_its_slot_back(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """And its message, and its place among those that are reserved."""
    request, freed, ready = processed(monkeypatch, error)
    assert (request.rejected, freed, ready) == ([False], [1], [request])


def test_a_revoked_task_is_celerys_own_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the slot back once, not twice."""
    request, freed, _ = processed(monkeypatch, TaskRevokedError("a"))
    assert (request.rejected, freed) == ([], [1])


def test_a_worker_that_can_not_go_on_ends_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Want of memory is no fault of a message's."""
    with pytest.raises(MemoryError):
        processed(monkeypatch, MemoryError("x"))


def test_a_heartbeat_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery would try it for as long as Redis is away, and who is to end would wait for that."""
    told: list[bool] = []
    app = GuardedCelery("events", broker="memory://")
    with app.connection_for_write() as connection:
        events = app.events.Dispatcher(connection, enabled=True)
        monkeypatch.setattr(events.producer, "publish", lambda *_, retry, **__: told.append(retry))
        calls: list[Any] = []
        heartbeat.Heart(SimpleNamespace(call_repeatedly=lambda *call: calls.append(call)), eventer=events).start()
        [(_, send, arguments)] = calls
        send(*arguments)
    # That the worker is there, and the first beat.
    assert told == [False, False]


def test_no_line_says_that_a_task_was_received() -> None:
    """Its logger is the one of the module that would say so; warnings of it are still heard."""
    logger = logging.getLogger("celery.worker.strategy")
    assert strategy.logger is logger
    before = logger.level
    try:
        celery_internals.leave_out_receipts()
        assert (logger.isEnabledFor(logging.INFO), logger.isEnabledFor(logging.WARNING)) == (False, True)
    finally:
        logger.setLevel(before)
