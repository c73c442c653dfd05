"""Plays the scenarios in turn, round after round, so that whatever else the machine does slows all of them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks.bench.report import short
from noteflow_hooks.bench.scenario import SkippedError
from noteflow_hooks.errors import NoteFlowHooksError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.bench.record import Record
    from noteflow_hooks.bench.scenario import Scenario, Values
    from noteflow_hooks.bench.stage import Stage

#: How many figures a line of progress has room for.
_SHOWN: Final = 3


def play(
    stage: Stage, scenarios: Sequence[Scenario], *, rounds: int, record: Record, say: Callable[[str], None]
) -> None:
    """Warm everything up once, then measure; ``say`` reports each measurement as soon as it is made."""
    for number in range(rounds + 1):
        stage.is_warming_up = number == 0
        stage.peak_per_s = None
        when = f"round {number}/{rounds}" if number else "warm-up"
        for scenario in [each for each in scenarios if number == rounds or not each.is_once]:
            say(f"{when:<10} {scenario.name:<26} {_played(stage, scenario, record=record)}")


def _played(stage: Stage, scenario: Scenario, *, record: Record) -> str:
    """Measure, record it unless it is the warm-up, and return what there is to say."""
    try:
        values = _measured(stage, scenario)
    except SkippedError as reason:
        record.skipped[scenario.name] = str(reason)
        return f"skipped: {reason}"
    if not stage.is_warming_up:
        record.add(scenario.name, values)
    return _some_of(values)


def _measured(stage: Stage, scenario: Scenario) -> Values:
    try:
        stage.check()
        return scenario.run(stage)
    except (NoteFlowHooksError, psycopg.Error, RedisError, OperationalError) as error:
        # If any part of the system dies during the benchmark, that ends it.
        raise NoteFlowHooksError(f"{scenario.name}: {str(error) or type(error).__name__}") from error


def _some_of(values: Values) -> str:
    return "  ".join(f"{name} {short(value)}" for name, value in list(values.items())[:_SHOWN])
