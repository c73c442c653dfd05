"""One run: load and faults go together, then the rest is waited for, and what is left behind is gathered and judged."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Final

import psycopg

from noteflow_hooks.local.stack.background import until
from tests.chaos import figures, schedule, tables
from tests.chaos.endpoints import ENDPOINTS
from tests.chaos.evidence import Evidence
from tests.chaos.faults import Faults
from tests.chaos.ledgers import Accepted, Fault, Ledgers, Post, read
from tests.chaos.publisher import Publisher
from tests.chaos.report import Report, report
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.options import Kind, Options

_TOLD_EVERY_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2


def _nothing() -> None:
    """Let the run go on."""


def _say_nothing(_: str) -> None:
    """Keep progress to oneself."""


def run(
    options: Options,
    folder: Path,
    *,
    check: Callable[[], None] = _nothing,
    tell: Callable[[str], None] = _say_nothing,
) -> Report:
    """Make a run and judge it; see :func:`gather`."""
    return report(gather(options, folder, check=check, tell=tell))


def gather(
    options: Options,
    folder: Path,
    *,
    check: Callable[[], None] = _nothing,
    tell: Callable[[str], None] = _say_nothing,
) -> Evidence:
    """Make a run and return its evidence; ledgers and logs stay in the folder. Call it from the main thread.

    ``check`` is called again and again, and raises to break the run off; ``tell`` is given lines of progress.
    """
    tell("starting the system, its workers and the receiver")
    with contextlib.ExitStack() as stack:
        play = _Play(Stage(stack, options, folder, check=check), options, folder, check=check, tell=tell)
        play.load()
        play.drain()
        play.note_tables()
        play.note_figures()
    # Everything has ended by now, so nothing is written any more.
    return play.evidence()


class _Play:
    """A run under way."""

    def __init__(
        self, stage: Stage, options: Options, folder: Path, *, check: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        self._stage = stage
        self._options = options
        self._ledger = folder / "accepted.jsonl"
        self._check = check
        self._tell = tell
        self._faults: list[Fault] = []

    def load(self) -> None:
        """Publish everything, and make each fault when it is due."""
        stage, options = self._stage, self._options
        faults = Faults(stage.rig, stage.crew, paths=stage.paths, chance=random.Random(options.seed))
        self._publisher = publisher = Publisher(
            stage.rig.system.grpc,
            stage.rig.token,
            moments=schedule.moments(options),
            rate_per_s=options.rate_per_s,
            ledger=self._ledger,
        )
        with contextlib.closing(faults), publisher:
            for planned in schedule.faults(options):
                self._wait(publisher.began + planned.at_s)
                stage.revive()
                self._make(faults, planned.kind)
            until(lambda: publisher.is_done, check=self._check)
            self._load_s = time.monotonic() - publisher.began

    def drain(self) -> None:
        """Wait until nothing is under way, or time is up."""
        began = told_at = time.monotonic()
        while any(left := self._left()) and time.monotonic() - began < self._options.drain_s:
            self._wait(time.monotonic() + _LOOK_EVERY_S)
            self._stage.revive()
            if time.monotonic() - told_at > _TOLD_EVERY_S:
                told_at = time.monotonic()
                self._tell(f"draining: {left[0]:,} deliveries and {left[1]:,} events are left")
        self._drain_s = time.monotonic() - began

    def note_tables(self) -> None:
        """Read what is on record."""
        self._tables = tables.read(self._stage.rig.database, receiver=self._stage.url)

    def note_figures(self) -> None:
        """Have exporter and server tell their sums, where everything has ended and sweeps have counted it."""
        has_ended = self._options.beat and not any(self._left())
        self._figures = figures.read(self._stage.rig, check=self._check) if has_ended else {}

    def evidence(self) -> Evidence:
        """Return everything."""
        stage = self._stage
        return Evidence(
            Ledgers(read(self._ledger, Accepted), read(stage.posts, Post), self._faults, ENDPOINTS),
            self._tables,
            looks=stage.watch.looks,
            overstay_s=stage.watch.longest_s,
            left_by_sweeps=stage.watch.left,
            figures=self._figures,
            leaks=stage.leaks(),
            refusals=self._publisher.refusals,
            deaths=stage.deaths,
            stretch=self._options.stretch,
            load_s=self._load_s,
            drain_s=self._drain_s,
        )

    def _make(self, faults: Faults, kind: Kind) -> None:
        fault = faults.make(kind)
        self._faults.append(fault)
        seconds = fault.at - self._publisher.began
        in_flight = f", {len(fault.in_flight)} in flight" if fault.in_flight else ""
        self._tell(f"{seconds:6.1f} s  {self._publisher.count:6,} accepted  {fault.kind}{in_flight}")

    def _left(self) -> tuple[int, int]:
        try:
            return tables.left(self._stage.rig.database)
        except psycopg.OperationalError:
            # Its connection died with a database that has come back.
            self._stage.rig.disconnect()
            return 1, 0

    def _wait(self, until_at: float) -> None:
        until(lambda: time.monotonic() >= until_at, check=self._check)
