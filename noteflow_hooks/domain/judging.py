"""When an endpoint's filter is asked about a delivery, and what becomes of one that it does not let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from noteflow_hooks.domain.filters import UNAVAILABLE, is_filterable, skip_of_verdict, wait_for_evaluator
from noteflow_hooks.domain.skipping import SkipReason

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from typing import Self

    from noteflow_hooks.domain.filters import Verdict
    from noteflow_hooks.domain.skipping import Skip

    class AskedAbout(Protocol):
        """What is asked of a delivery here; it knows these rules, so they can't know it by its name."""

        # ruff: noqa: D102 - they are the delivery's own
        @property
        def event_type(self) -> str: ...
        @property
        def attempt_count(self) -> int: ...
        @property
        def interruptions(self) -> int: ...
        @property
        def passes_filter(self) -> bool | None: ...
        @property
        def skip_reason(self) -> SkipReason | None: ...
        @property
        def created_at(self) -> datetime | None: ...
        @property
        def lease_expires_at(self) -> datetime | None: ...
        def released(self, why: str | None = None) -> Self: ...
        def skipped(self, skip: Skip) -> Self: ...


D = TypeVar("D", bound="AskedAbout")


def is_asked_about(delivery: AskedAbout, *, targeted: bool) -> bool:
    """Tell whether its endpoint's filter, if there is one, is to be asked before the next attempt."""
    return not targeted and awaits_verdict(delivery) and is_filterable(delivery.event_type)


def awaits_verdict(delivery: AskedAbout) -> bool:
    """Tell whether no filter has spoken of it yet, nor was told not to.

    An attempt that was cut off tells nothing: the worker may have ended before it asked.
    """
    never_sent = delivery.passes_filter is None and delivery.attempt_count == delivery.interruptions
    return delivery.passes_filter is False or never_sent


def passes_again(delivery: AskedAbout, *, was_skipped: bool, unfiltered: bool) -> bool:
    """Tell whether it passes its endpoint's filter unasked once it is sent again.

    What was skipped is asked about anew; where ``unfiltered`` says so, not what the filter has held back. The verdict
    stands of what was sent.
    """
    if was_skipped:
        return unfiltered and delivery.skip_reason is SkipReason.FILTERED
    return not awaits_verdict(delivery)


def held_back(delivery: D, verdict: Verdict) -> tuple[D, timedelta | None, str | None]:
    """Return what becomes of a claimed one that its endpoint's filter does not let pass.

    That is its next state, how long it waits for a worker that can ask, and how the filter failed.
    """
    skip = skip_of_verdict(verdict)
    if skip is None:
        wait = wait_for_evaluator(delivery.created_at, lease_end=delivery.lease_expires_at)
        return delivery.released(UNAVAILABLE), wait, None
    failed = skip.reason is SkipReason.FILTER_FAILED
    return delivery.skipped(skip), None, verdict.reason if failed else None
