"""Makes the checks: each row of them in a thread of its own, and when time is up, what has not come back has failed.

A client's own timeout is the first bound of each check. This one is for what has none: a name that is looked up, a
server that freezes between two answers.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.doctor.findings import State, Verdict, failed, looked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.cli.doctor.findings import Check

WITHIN_S: Final = 6.0


def examine(rows: Sequence[Sequence[Check]], *, within_s: float = WITHIN_S) -> Mapping[str, Verdict]:
    """Make all checks, the rows beside each other, and return what came of them, by name and in their order."""
    found: dict[str, Verdict] = {}
    threads = [threading.Thread(target=_make, args=(row, found), daemon=True) for row in rows]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    # What still comes in comes too late.
    told = dict(found)
    missing = f"no answer within {within_s:g} s"
    return {check.name: told.get(check.name) or failed(missing, check.remedy) for row in rows for check in row}


def _make(row: Sequence[Check], found: dict[str, Verdict]) -> None:
    for check in row:
        broken = [name for name in check.needs if found[name].state is State.FAILED]
        found[check.name] = _unknown(broken[0]) if broken else looked(check)


def _unknown(needed: str) -> Verdict:
    return failed("not known", f"see to {needed} first")
