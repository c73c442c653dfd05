"""What filters say of events: which an endpoint gets, by an expression of its own over type and payload.

A filter is asked once, before a delivery's first attempt, and what it says stands over retries and later changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import WebhookEventType, is_custom
from noteflow_hooks.domain.skipping import Skip, SkipReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

#: What is said of a delivery whose event the filter doesn't want, and of one on which it failed.
FILTERED: Final = "The endpoint's filter does not match"
FAILED: Final = "The endpoint's filter failed: "
#: What a delivery waits with that no worker could ask the filter about.
UNAVAILABLE: Final = "filter_unavailable: no worker could evaluate the endpoint's filter"
#: The most characters that are kept of what went wrong.
ERROR_LIMIT: Final = 300
#: How many events a preview is of, where the caller doesn't say, and how many it may be of.
LAST_N: Final = 20
LAST_N_RANGE: Final = range(1, 101)
#: How long a delivery waits for a worker that can evaluate: half as long as it has waited already, within these.
_WAITS: Final = (timedelta(seconds=5), timedelta(minutes=10))
#: About as long as a lease lasts.
_LEASE: Final = timedelta(seconds=20)
_UNFILTERED: Final = frozenset(each.value for each in WebhookEventType if each.value.startswith("webhook."))


class FilterAnswer(StrEnum):
    """What a filter says of an event."""

    MATCHED = "matched"
    FILTERED = "filtered"
    #: It could not be evaluated over this payload.
    ERROR = "error"
    #: Nothing here can evaluate it: that is no answer, and is asked again later.
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of one event, and why where it says neither yes nor no."""

    answer: FilterAnswer
    #: Never any text of the payload.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What a filter says of those of several deliveries that it does not let pass, by their ids."""

    of: Mapping[UUID, Verdict]


MATCHED: Final = Verdict(FilterAnswer.MATCHED)
NOT_MATCHED: Final = Verdict(FilterAnswer.FILTERED)


def is_filterable(event_type: str) -> bool:
    """Tell whether filters apply to events of that type: to those of meetings and to the workspaces' own."""
    return is_custom(event_type) or event_type not in _UNFILTERED


def skip_of_verdict(verdict: Verdict) -> Skip | None:
    """Return what is said of a delivery that is skipped for this; None where it is not."""
    match verdict.answer:
        case FilterAnswer.FILTERED:
            return Skip(FILTERED, SkipReason.FILTERED)
        case FilterAnswer.ERROR:
            return Skip(f"{FAILED}{verdict.reason}", SkipReason.FILTER_FAILED)
        case _:
            return None


def wait_for_evaluator(created_at: datetime | None, *, lease_end: datetime | None) -> timedelta:
    """Return how long to wait before a delivery is asked about again that was made then and is claimed now."""
    shortest, longest = _WAITS
    waited = lease_end - created_at - _LEASE if created_at is not None and lease_end is not None else shortest
    return min(max(waited / 2, shortest), longest)


@dataclass(frozen=True, slots=True)
class FilterTrouble:
    """How often an endpoint's present filter could not be evaluated, and how it failed last."""

    errors: int = 0
    last_error: str | None = None

    def after(self, errors: list[str]) -> FilterTrouble:
        """Return it once these errors, at least one, are added, the last one last."""
        return FilterTrouble(self.errors + len(errors), errors[-1][:ERROR_LIMIT])


#: That of an endpoint whose filter has never failed, or that has none.
NO_TROUBLE: Final = FilterTrouble()
