"""Figures held to the rows, once all has ended: what roll-ups have counted of attempts, and how it stands."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.stats import read_stats
from noteflow_hooks.domain.stats import SUCCEEDED, StatsQuery, bin_of, span_of
from tests.support.roll_ups import count_all

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conformance.model.rows import Opened, Rows

#: Longer than any run's time.
_ALL: Final = timedelta(days=89)


def check_figures(opened: Opened, rows: Rows) -> None:
    """Count, and check that each workspace's figures are the sums of its rows."""
    world, until = opened.world, opened.world.deliveries.now()
    # What has moments of this very millisecond is left to the next count, and the clock in memory stands still.
    world.age(timedelta(milliseconds=5))
    count_all(world.keeper, until_now=until)
    now = world.deliveries.now()
    span, _ = span_of(now - _ALL, now, None, now=now)
    for workspace_id in {each.workspace_id for each in rows.webhooks.values()}:
        own = [each.id for each in rows.webhooks.values() if each.workspace_id == workspace_id]
        living = [each for each in own if rows.webhooks[each].deleted_at is None]
        with world.units() as unit:
            found = read_stats(
                unit, workspace_id, StatsQuery(span=span, webhook_ids=living, with_event_types=True, with_now=True)
            )
        kinds, bins = _attempts(rows, own)
        assert found.total.attempts == kinds, "attempts by outcome"
        assert found.total.durations == bins, "durations"
        assert sum((each.attempts for _, each in found.types), Counter()) == kinds, "by event type"
        for each in found.endpoints:
            assert each.total.attempts == _attempts(rows, [each.webhook_id])[0], "of an endpoint"
        assert found.now is not None
        deliveries = [each for each in rows.deliveries.values() if each.webhook_id in own]
        pending = [each for each in deliveries if each.status == "pending"]
        assert (found.now.pending, found.now.throttled) == (len(pending), sum(1 for each in pending if each.held))
        assert found.now.dead == Counter(each.error_kind or "none" for each in deliveries if each.status == "dead")
        skipped = Counter(each.skip_reason or "none" for each in deliveries if each.status == "skipped")
        del skipped["filtered"]
        assert found.now.skipped == skipped


def _attempts(rows: Rows, webhook_ids: list[UUID]) -> tuple[Counter[str], Counter[int]]:
    """Return the attempts of these endpoints by outcome and by the bin of their duration."""
    own = [each for each in rows.deliveries.values() if each.webhook_id in webhook_ids]
    made = [each for delivery in own for each in rows.attempts.get(delivery.id, ())]
    return Counter(each.error_kind or SUCCEEDED for each in made), Counter(bin_of(each.duration_ms) for each in made)
