"""Numbers of rows, brought within what may stand there: whoever changes rows by hand may get past the schema's checks.

Batches are claimed and stored by one statement: a number that overflows would cost all of its batch, again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.options import BATCH_MAX, BATCH_WAIT_MS
from noteflow_hooks.domain.replays import RATE_PER_S
from noteflow_hooks.domain.webhooks import MAX_CONCURRENCY, MAX_RETRIES, RATE_LIMIT_PER_S, TIMEOUT_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What integer and smallint columns hold, but for one more.
_COUNT: Final = range(2**31 - 1)
_SMALL_COUNT: Final = range(2**15 - 1)
_RANGES: Final[Mapping[str, range]] = {
    "timeout_ms": TIMEOUT_MS,
    "max_retries": MAX_RETRIES,
    "max_concurrency": MAX_CONCURRENCY,
    "batch_max": range(BATCH_MAX.stop),
    "batch_wait_ms": BATCH_WAIT_MS,
    "attempt_count": _COUNT,
    "budget_used": _SMALL_COUNT,
    "interruptions": _SMALL_COUNT,
    "failures": _COUNT,
    "opened": _COUNT,
    "quick": _COUNT,
    "ramp": range(1, 2**30),
}
_RATES: Final[Mapping[str, tuple[float, float]]] = {
    "rate_limit_per_s": RATE_LIMIT_PER_S,
    "rate_per_s": RATE_PER_S,
}
#: The least and the most of each column that has bounds.
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    **{name: (allowed[0], allowed[-1]) for name, allowed in _RANGES.items()},
    **_RATES,
}


def bounded_sql(value: str, column: str) -> str:
    """Return the SQL that brings a value within what the column may hold."""
    allowed = _RANGES[column]
    return f"least(greatest({value}, {allowed[0]}), {allowed[-1]})"


def bounded(columns: dict[str, Any]) -> dict[str, Any]:
    """Bring those of the columns that have bounds within them; return the same columns."""
    for name in _BOUNDS.keys() & columns.keys():
        value = columns[name]
        if value is not None:
            least, most = _BOUNDS[name]
            # Written so that NaN becomes the least: it compares false with everything.
            columns[name] = min(value, most) if value >= least else least
    return columns
