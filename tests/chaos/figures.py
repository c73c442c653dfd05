"""What operators are told of a run, held against the rows that it left: the exporter's page, scraped, and GetStats."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.local.stack.background import until
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.extra_programs import log_of, started
from tests.support.scraping import address_in, scraped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

    from tests.support.scraping import Scrape
    from tests.support.system_rig import SystemRig

#: How much there was of each thing, by its name in words.
Sums: TypeAlias = "dict[str, int]"

ROWS: Final = "the rows"
_EXPORTER: Final = (sys.executable, "-m", "noteflow_hooks.cli", "exporter", "--bind", "127.0.0.1:0")
#: How long a sweep may take to count what has happened last; and how long a call may.
_PATIENCE_S: Final = 60.0
_CALL_S: Final = 20.0
_SUMS: Final = """
    SELECT 'events', count(*) FROM noteflow.webhook_events
    UNION ALL
    SELECT 'attempts: ' || coalesce(error_kind, 'succeeded'), count(*) FROM noteflow.webhook_attempts GROUP BY 1
    UNION ALL
    SELECT 'milliseconds', sum(duration_ms) FROM noteflow.webhook_attempts
    UNION ALL
    SELECT status || CASE status WHEN 'dead' THEN ': ' || coalesce(error_kind, 'none')
                                 WHEN 'skipped' THEN ': ' || coalesce(skip_reason, 'none') ELSE '' END, count(*)
    FROM noteflow.webhook_deliveries WHERE status IN ('succeeded', 'dead', 'skipped') GROUP BY 1
"""


def read(rig: SystemRig, *, check: Callable[[], None]) -> dict[str, Sums]:
    """Return the sums by who tells them, once all agree or time is up; nothing may be under way any more.

    Sweeps must run: they count. ``check`` is called during waits; it raises to break them off.
    """
    ends_at = time.monotonic() + _PATIENCE_S
    with started(rig, "exporter", _EXPORTER):
        address = address_in(lambda: log_of(rig, "exporter").read_text())
        while True:
            found = {ROWS: of_rows(rig.database), "the exporter": exported(scraped(address)), "GetStats": answered(rig)}
            if not any(differences(found)) or time.monotonic() >= ends_at:
                return found
            again_at = time.monotonic() + 1
            until(lambda again_at=again_at: time.monotonic() >= again_at, check=check)  # type: ignore[misc]  # bound now


def differences(found: Mapping[str, Sums]) -> Iterator[str]:
    """Yield what somebody tells otherwise than the rows have it."""
    rows = found.get(ROWS, {})
    for who, told in found.items():
        for name in sorted(rows.keys() | told.keys()):
            if rows.get(name, 0) != told.get(name, 0):
                yield f"{who}: {told.get(name, 0)} {name}, not {rows.get(name, 0)}"


def of_rows(database: psycopg.Connection) -> Sums:
    """Return what is on record."""
    return {name: int(number or 0) for name, number in database.execute(_SUMS).fetchall()}


def exported(scrape: Scrape) -> Sums:
    """Return what the exporter answers."""
    sums: Counter[str] = Counter(events=round(scrape.value("events_total")))
    sums["milliseconds"] = round(scrape.value("post_duration_seconds_sum") * 1000)
    for each in scrape.samples:
        if each.name == "noteflow_hooks_attempts_total":
            kind = each.labels["kind"]
            sums[f"attempts: {kind if each.labels['outcome'] == 'failed' else 'succeeded'}"] += round(each.value)
        elif each.name == "noteflow_hooks_deliveries_settled_total":
            status = each.labels["status"]
            sums[status if status == "succeeded" else f"{status}: {each.labels['reason']}"] += round(each.value)
    return dict(sums)


def answered(rig: SystemRig) -> Sums:
    """Return what GetStats tells of the last day, and of the rig's own workspace, which all events are in."""
    total = rig.client.webhooks.GetStats(pb.GetStatsRequest(), timeout=_CALL_S, wait_for_ready=True).total
    return {
        "events": total.events,
        "succeeded": total.succeeded,
        "attempts: succeeded": total.succeeded,
        "milliseconds": total.duration_sum_ms,
        **{f"attempts: {kind}": number for kind, number in total.failures.items()},
        **{f"dead: {kind}": number for kind, number in total.dead.items()},
        **{f"skipped: {reason}": number for reason, number in total.skipped.items()},
    }
