"""What a process's signs of life mean: whether it is alive, and whether it is ready, each in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.concurrency.pulse import DONE, FAILED, FETCHED, IDLE, TURNED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.concurrency.pulse import Signs


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and why it is so."""

    is_yes: bool
    why: str


_GONE: Final = Answer(is_yes=False, why="its process has ended")


def alive(signs: Signs, *, within_s: float, task_s: float = 0.0) -> Answer:
    """Tell whether the process's own loop has turned within that time, whatever PostgreSQL and Redis do.

    A loop that does a task itself turns again when that has ended: ``task_s`` is what a task may take beside that time.
    """
    if signs.about.get("gone"):
        return _GONE
    age = signs.ages[TURNED]
    if age > within_s and signs.task_s is not None:
        is_short = signs.task_s <= within_s + task_s
        return Answer(is_short, f"its loop does a task, for {signs.task_s:.1f} s")
    return Answer(age <= within_s, f"its loop turned {_ago(age)}")


def worker_ready(signs: Signs, *, within_s: float) -> Answer:
    """Tell whether it has its queues, and has done what it fetched, or had nothing to do, within that time."""
    ages = signs.ages
    if not signs.about.get("connected") or signs.about.get("gone"):
        return _GONE if signs.about.get("gone") else Answer(is_yes=False, why="it has no connection to Redis")
    if not signs.about.get("queues"):
        return Answer(is_yes=False, why="it takes from no queue")
    if ages[FETCHED] > within_s:
        return Answer(is_yes=False, why=f"it last heard from its queues {_ago(ages[FETCHED])}")
    # What failed last counts until something is done, or for so long that there was nothing to be done since.
    if ages[FAILED] < ages[DONE] and ages[FAILED] <= 2 * within_s:
        return Answer(is_yes=False, why=f"what it took failed {_ago(ages[FAILED])}, and it has done nothing since")
    best = min(ages[DONE], ages[IDLE])
    done = f"it did its work {_ago(ages[DONE])}"
    if best > within_s:
        return Answer(is_yes=False, why=f"it has work, and {done}")
    return Answer(is_yes=True, why=done if ages[DONE] <= within_s else f"it had nothing to do {_ago(ages[IDLE])}")


def beat_ready(signs: Signs) -> Answer:
    """Tell whether Redis took what was last due."""
    if signs.about.get("gone"):
        return _GONE
    sent, refused = signs.ages[DONE], signs.ages[FAILED]
    if refused < sent:
        return Answer(is_yes=False, why=f"Redis refused what was due {_ago(refused)}")
    if sent == float("inf"):
        return Answer(is_yes=False, why="it has sent nothing yet")
    return Answer(is_yes=True, why=f"it sent what was due {_ago(sent)}")


def all_of(answers: Iterable[Answer]) -> Answer:
    """Return the answer for several processes: the first No, or else the last one's."""
    found = list(answers)
    return next((each for each in found if not each.is_yes), found[-1])


def _ago(age_s: float) -> str:
    return "never" if age_s == float("inf") else f"{age_s:.1f} s ago"
