"""A process's signs of life: who writes them, who reads them, and what they mean."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.commands.health import _LONGEST_POST_S
from noteflow_hooks.cli.health.answers import alive, beat_ready, worker_ready
from noteflow_hooks.concurrency.identity import Process, application_name, client_name, name_process, process_of
from noteflow_hooks.concurrency.pulse import DONE, FAILED, FETCHED, IDLE, TURNED, Pulse, Signs, file_name, read
from noteflow_hooks.domain.webhooks import TIMEOUT_MS
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEVER = float("inf")
#: Programs of their own: a fork of this process may end by what other tests' threads have held.
_OPENS = """
import os, pathlib, sys, time
from noteflow_hooks.concurrency.pulse import DONE, TURNED, Pulse
pulse = Pulse()
pulse.open(pathlib.Path(sys.argv[1]), "worker", "celery@host")
"""
_DIES = f"{_OPENS}os._exit(9)"
_FORKS = f"""{_OPENS}
if (child := os.fork()) == 0:
    pulse.marks[DONE] = time.monotonic()
    os._exit(0)
os.waitpid(child, 0)
pulse.marks[TURNED] = 0.0
pulse.show()
print("shown", flush=True)
sys.stdin.read()
"""


@contextmanager
def _program(text: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", text, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    made = Pulse()
    made.open(tmp_path, "worker", "celery@host")
    yield made
    made.close()


def the_file(folder: Path) -> Path:
    return folder / file_name("worker", "celery@host")


def test_what_a_process_leaves_another_reads(pulse: Pulse, tmp_path: Path) -> None:
    """Who it is, and how long ago its loop has turned; what it never did was never."""
    pulse.tell(queues=["deliver"], connected=True)
    signs = read(the_file(tmp_path))
    assert signs.name == "worker celery@host"
    assert (signs.about["pid"], signs.about["queues"]) == (os.getpid(), ["deliver"])
    assert signs.ages[TURNED] < 60
    assert signs.ages[DONE] == NEVER


def test_children_note_in_memory_that_the_process_shares(tmp_path: Path) -> None:
    """What a forked child has done is in the file with the process's next turn."""
    with _program(_FORKS, tmp_path) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "shown\n"
        assert read(the_file(tmp_path)).ages[DONE] < 60


def test_the_file_goes_with_its_process_and_is_nobody_elses(pulse: Pulse, tmp_path: Path) -> None:
    """Without it, or where something else stands there, a probe says so."""
    assert the_file(tmp_path).stat().st_mode & 0o077 == 0
    pulse.close()
    with pytest.raises(UnavailableError, match="no signs of life"):
        read(the_file(tmp_path))
    the_file(tmp_path).write_text("nonsense")
    with pytest.raises(UnavailableError, match="no signs of life"):
        read(the_file(tmp_path))


def test_a_process_that_was_killed_is_gone_at_once(tmp_path: Path) -> None:
    """Its file is still there, and fresh."""
    with _program(_DIES, tmp_path) as process:
        assert process.wait(30) == 9
    answer = alive(read(the_file(tmp_path)), within_s=30)
    assert (answer.is_yes, answer.why) == (False, "its process has ended")


def test_a_folder_that_takes_nothing_ends_no_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; the process goes on, and no probe can tell."""
    (tmp_path / "file").write_text("")
    pulse = Pulse()
    pulse.open(tmp_path / "file", "beat")
    pulse.show()
    assert [each.levelname for each in caplog.records] == ["WARNING"]


def signs(*, connected: bool = True, **ages: float) -> Signs:
    names = {"turned": TURNED, "fetched": FETCHED, "done": DONE, "failed": FAILED, "idle": IDLE}
    values = [NEVER] * len(names)
    for name, age in ages.items():
        values[names[name]] = age
    return Signs({"kind": "worker", "connected": connected, "queues": ["deliver"]}, tuple(values))


@pytest.mark.parametrize(("age", "is_alive"), [(0.1, True), (29.9, True), (30.1, False), (NEVER, False)])
def test_alive_is_whose_loop_turned_a_while_ago(age: float, *, is_alive: bool) -> None:
    """Whatever else it did."""
    assert alive(signs(turned=age), within_s=30).is_yes is is_alive


@pytest.mark.parametrize(("task_s", "is_alive"), [(31.0, True), (69.9, True), (70.1, False), (None, False)])
def test_a_loop_that_does_a_task_itself_may_take_a_posts_time_longer(task_s: float | None, *, is_alive: bool) -> None:
    """It turns again when that has ended; of other loops nobody waits for that."""
    assert round(_LONGEST_POST_S * 1000) == TIMEOUT_MS[-1]
    found = replace(signs(turned=75), task_s=task_s)
    assert alive(found, within_s=30, task_s=40).is_yes is is_alive


def test_a_task_of_the_loop_is_shown_from_its_beginning_to_its_end(pulse: Pulse, tmp_path: Path) -> None:
    """Its end is a turn of the loop; before and after there is none."""
    assert read(the_file(tmp_path)).task_s is None
    pulse.begin_task()
    found = read(the_file(tmp_path)).task_s
    assert found is not None
    assert 0 <= found < 60
    pulse.marks[TURNED] = 1.0
    pulse.end_task()
    assert (read(the_file(tmp_path)).task_s, read(the_file(tmp_path)).ages[TURNED] < 60) == (None, True)


@pytest.mark.parametrize(
    ("found", "is_ready", "why"),
    [
        (signs(fetched=1, idle=0.5), True, "nothing to do"),
        (signs(fetched=1, done=2), True, "it did its work 2.0 s ago"),
        (signs(fetched=1, done=2, failed=5, idle=0), True, "it did its work"),
        (signs(fetched=1, done=9, failed=5, idle=0), False, "what it took failed 5.0 s ago"),
        (signs(fetched=1, failed=61, idle=0), True, "nothing to do"),
        (signs(fetched=1, done=31, idle=31), False, "it has work"),
        (signs(fetched=31, idle=0), False, "last heard from its queues"),
        (signs(connected=False, fetched=1, idle=0), False, "no connection to Redis"),
        (Signs({"connected": True, "queues": []}, (0.0, 0.0, NEVER, NEVER, 0.0)), False, "no queue"),
    ],
)
def test_ready_is_a_worker_that_does_what_it_takes(found: Signs, *, is_ready: bool, why: str) -> None:
    """Or has nothing to do; one that takes and gets nothing done is not, nor one that takes nothing."""
    answer = worker_ready(found, within_s=30)
    assert answer.is_yes is is_ready
    assert why in answer.why


def test_beat_is_ready_while_redis_takes_what_is_due() -> None:
    """By the last one; before the first nobody knows."""
    assert beat_ready(signs(done=3)).is_yes
    assert beat_ready(signs(done=3, failed=4)).is_yes
    assert not beat_ready(signs(done=3, failed=2)).is_yes
    assert not beat_ready(signs()).is_yes


def test_connections_say_whose_they_are_and_of_which_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """For PostgreSQL within its 63 bytes, for Redis without spaces; what they say is read again."""
    monkeypatch.setattr("noteflow_hooks.concurrency.identity._named", None)
    assert application_name() == client_name() == "noteflow-hooks"
    assert process_of(application_name()) is None
    name_process("worker", "celery@a host")
    assert process_of(application_name()) == Process(_release(), "worker", "celery@a host")
    assert process_of(client_name()) == Process(_release(), "worker", "celery@a:host")
    assert " " not in client_name()
    name_process("worker", "w" * 100)
    assert len(application_name()) == 63


def _release() -> str:
    from noteflow_hooks import __version__  # noqa: PLC0415 - named once

    return __version__
