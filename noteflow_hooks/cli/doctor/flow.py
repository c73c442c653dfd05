"""Whether work gets done: relay and sweep come by, and what they look for does not wait for longer than that takes."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.doctor.findings import Check, Verdict, failed, ok, seconds, warning
from noteflow_hooks.domain.ports.maintenance import RELAY, SWEEP
from noteflow_hooks.domain.system_state import patience
from noteflow_hooks.persistence.sql.maintenance.diagnostics import MOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.parts import DiagnosticParts
    from noteflow_hooks.persistence.sql.maintenance.diagnostics import Unverified, Waiting
    from noteflow_hooks.settings import Settings

#: What waits, and in what way.
_WHAT: Final = {
    "events": "events not dispatched",
    "deliveries": "deliveries due and not taken",
    "leases": "deliveries held past their lease",
}
#: Workers are behind for minutes after an outage, or in a flood, and catch up; what waits for longer won't be sent by
#: itself: nobody is at it, or there are too few.
_STUCK: Final = timedelta(minutes=5)
#: After so long an endpoint that has not answered its challenge probably can't.
_UNANSWERED: Final = timedelta(hours=1)
#: How many of those are named.
_NAMED: Final = 3
_ASK: Final = "have each receiver give the challenge back (docs/verification.md), then run `webhooks verify`"
_INSTALL: Final = "see the workers' logs; where they lack the extra: pip install 'noteflow-hooks[filters]'"
_AGAIN: Final = "see the log of PostgreSQL"
_CALL: Final = "see that beat runs (celery -A workers.app beat), and a worker that takes from maintenance"
_HELP: Final = "see relay, sweep and workers; where those are well, start more workers"


def checks(settings: Settings, parts: DiagnosticParts) -> list[Check]:
    """Return the checks, which need the schema."""
    ages, backlog, needs = cache(parts.task_runs.ages), cache(parts.diagnostics.backlog), ("postgres", "schema")
    relay, sweep = timedelta(seconds=settings.relay_every_s), timedelta(seconds=settings.sweep_every_s)
    # Who needs relay or sweep waits for its grace first, and then for one of the periods.
    late = {
        "events": timedelta(seconds=settings.relay_after_s) + patience(relay),
        "deliveries": sweep + patience(sweep),
        "leases": patience(sweep),
    }

    def run(name: str, every: timedelta) -> Check:
        return Check(name, lambda: last_run(ages().get(name), every=every), remedy=_AGAIN, needs=needs)

    def wait(name: str) -> Check:
        return Check(name, lambda: waits(backlog()[name], _WHAT[name], late=late[name]), remedy=_AGAIN, needs=needs)

    asked = Check("verification", lambda: unverified(parts.diagnostics.unverified()), remedy=_AGAIN, needs=needs)
    filters = Check("filters", lambda: unjudged(parts.diagnostics.unjudged()), remedy=_AGAIN, needs=needs)
    return [run(RELAY, relay), run(SWEEP, sweep), *map(wait, late), asked, filters]


def unjudged(waiting: Waiting) -> Verdict:
    """Judge the deliveries that no worker could ask their endpoints' filters about."""
    count = (
        f"deliveries whose filter no worker could evaluate: {waiting.rows}{' or more' if waiting.rows >= MOST else ''}"
    )
    if waiting.longest is None:
        return ok(count, _numbers(waiting))
    found = f"{count}, the first for {seconds(waiting.longest)}"
    return (failed if waiting.longest > _STUCK else warning)(found, _INSTALL, _numbers(waiting))


def unverified(waiting: Sequence[Unverified]) -> Verdict:
    """Judge the endpoints that have yet to answer a challenge; the first ones that have waited long are named."""
    long = [each for each in waiting if each.waits > _UNANSWERED]
    count = f"endpoints not verified: {len(waiting)}{' or more' if len(waiting) >= MOST else ''}"
    numbers = {"count": len(waiting), "long": len(long)}
    if not long:
        return ok(count, numbers)
    named = ", ".join(f"{each.webhook_id} for {seconds(each.waits)}" for each in long[:_NAMED])
    more = f" and {len(long) - _NAMED} more" if len(long) > _NAMED else ""
    return warning(f"{count}, of which wait long: {named}{more}", _ASK, numbers)


def last_run(age: timedelta | None, *, every: timedelta) -> Verdict:
    """Judge when a task last ran to its end; None means never."""
    if age is None:
        return failed("has never run to its end", f"{_CALL}; the first time is {seconds(every)} after their start")
    found = f"ran to its end {seconds(age)} ago, and should every {seconds(every)}"
    numbers = {"age_seconds": age.total_seconds(), "every_seconds": every.total_seconds()}
    return failed(found, _CALL, numbers) if age > patience(every) else ok(found, numbers)


def waits(waiting: Waiting, what: str, *, late: timedelta) -> Verdict:
    """Judge what waits by the first of it; ``late`` is when it should have been found, whatever message was lost."""
    count = f"{what}: {waiting.rows}{' or more' if waiting.rows >= MOST else ''}"
    numbers = _numbers(waiting)
    if waiting.longest is None:
        return ok(count, numbers)
    found = f"{count}, the first for {seconds(waiting.longest)}"
    if waiting.longest > max(late, _STUCK):
        return failed(found, _HELP, numbers)
    return warning(found, _HELP, numbers) if waiting.longest > late else ok(found, numbers)


def _numbers(waiting: Waiting) -> dict[str, float]:
    longest = waiting.longest.total_seconds() if waiting.longest is not None else 0.0
    return {"count": waiting.rows, "longest_seconds": longest}
