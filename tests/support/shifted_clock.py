"""Runs `celery` with a wall clock that is off by what a file says, at each moment anew; other clocks go as they are.

CLOCK_OFFSET_FILE=offset python tests/support/shifted_clock.py -A workers.app beat
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "CLOCK_OFFSET_FILE"
_time = time.time
_datetime: Any = dt.datetime


def _offset_s() -> float:
    return float(Path(os.environ[VARIABLE]).read_text())


class _ShiftedDatetime(_datetime):  # type: ignore[misc]  # it is Any, since it takes its own place
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:  # noqa: ANN401 - as above
        return cls.fromtimestamp(_time() + _offset_s(), tz)


def main() -> None:
    """Put the clock off before anything has taken a copy of it, and run."""
    vars(time)["time"] = lambda: _time() + _offset_s()
    vars(dt)["datetime"] = _ShiftedDatetime
    from celery.__main__ import main as celery  # noqa: PLC0415 - as said

    sys.argv[0] = "celery"
    celery()


if __name__ == "__main__":
    main()
