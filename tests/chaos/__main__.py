"""``python -m tests.chaos --seed N``: load and faults together, then kills at exact points; was anything lost?

Ends with 0 where every promise was kept, with 1 where one was broken, and with 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from noteflow_hooks.cli.support.interruption import Interruption
from noteflow_hooks.local.stack import forget_foreign_variables
from tests.chaos.options import Options
from tests.chaos.points_table import table
from tests.chaos.precise import broken, play_round
from tests.chaos.report import as_json
from tests.chaos.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Make a run and show what came of it."""
    given = _arguments()
    options = Options.full(seed=given.seed, events=given.events, rate_per_s=given.rate, stretch=given.stretch)
    forget_foreign_variables()
    with Interruption() as interruption, _folder(given.folder) as folder:
        try:
            report = run(options, folder / "load", check=interruption.check, tell=_say)
            for line in report.lines():
                _say(line)
            plays = play_round(given.seed, folder / "points", check=interruption.check, tell=_say)
        except KeyboardInterrupt:
            return 130
    for line in (*table(plays), *(f"BROKEN: {each}" for each in broken(plays))):
        _say(line)
    if given.json is not None:
        given.json.write_text(as_json(report, plays, seed=given.seed) + "\n", encoding="utf-8")
    is_green = report.is_green and not broken(plays)
    _say("GREEN: every promise was kept" if is_green else "RED")
    return 0 if is_green else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides order and moments of faults, and all answers")
    parser.add_argument("--events", type=int, default=1_200, help="how many events to publish")
    parser.add_argument("--rate", type=float, default=20, help="how many a second")
    parser.add_argument("--stretch", type=float, default=1, help="all times are so much longer, where others work, too")
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--folder", type=Path, help="where logs and ledgers stay; else they are gone in the end")
    return parser.parse_args()


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is None:
        with tempfile.TemporaryDirectory(prefix="noteflow-chaos-") as made:
            yield _halves(Path(made))
    else:
        yield _halves(given)


def _halves(folder: Path) -> Path:
    for half in ("load", "points"):
        (folder / half).mkdir(parents=True, exist_ok=True)
    return folder


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
