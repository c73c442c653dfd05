"""What is measured of each POST: put around what begins it where a worker is to measure, and nowhere otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.telemetry.metrics import CLAIM_LAG, CONNECTIONS, POST_PLACES, POSTS, POSTS_UNDER_WAY, WAKE_UPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from noteflow_hooks.delivery.tuning import DeliveryRules
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.telemetry.memory import Figures


def measured_posts(
    begin: Callable[[Claim], Callable[[], AttemptResult]],
    figures: Figures | None,
    *,
    rules: DeliveryRules,
    places: int,
) -> Callable[[Claim], Callable[[], AttemptResult]]:
    """Return the same, with each POST counted as it begins and ends; ``places`` is how many there may be at once.

    Here and below, without figures nothing is put around anything.
    """
    if figures is None:
        return begin
    begun, under_way, cells = figures.row(POSTS), figures.row(POSTS_UNDER_WAY), figures.cells
    figures.set(figures.row(POST_PLACES), places)
    note_lag, slack_s = figures.observer(CLAIM_LAG), rules.lease_slack.total_seconds()
    last_made_at: datetime | None = None

    def measured(claim: Claim) -> Callable[[], AttemptResult]:
        nonlocal last_made_at
        made_at = claim.delivery.created_at
        # What one statement has made has one moment, and one of it stands for all.
        if made_at != last_made_at:
            last_made_at = made_at
            if (lag_s := _lag_s(claim, slack_s)) is not None:
                note_lag(lag_s)
        end = begin(claim)
        cells[begun] += 1.0
        cells[under_way] += 1.0

        def ended() -> AttemptResult:
            try:
                return end()
            finally:
                cells[under_way] -= 1.0

        return ended

    return measured


def _lag_s(claim: Claim, slack_s: float) -> float | None:
    """Return how long a delivery waited for its first claim; None at later ones."""
    lease_end, made_at = claim.delivery.lease_expires_at, claim.delivery.created_at
    if claim.delivery.attempt_count or lease_end is None or made_at is None:
        return None
    # A lease is as long as the endpoint's timeout and the slack, from the claim on.
    return max(0.0, (lease_end - made_at).total_seconds() - claim.webhook.timeout_ms / 1000 - slack_s)


def connection_counter(figures: Figures | None) -> Callable[[bool], None] | None:
    """Return what counts a POST's connection, told whether it was kept from one before."""
    if figures is None:
        return None
    made, reused, cells = figures.row(CONNECTIONS, "made"), figures.row(CONNECTIONS, "reused"), figures.cells

    def note(is_kept: bool) -> None:  # noqa: FBT001 - a callback has no keywords
        cells[reused if is_kept else made] += 1.0

    return note


def wake_up_counter(figures: Figures | None) -> Callable[[str, str], None] | None:
    """Return what counts a wake-up, told its queue and what came of it."""
    if figures is None:
        return None
    return lambda queue, result: figures.add(figures.row(WAKE_UPS, queue, result))
