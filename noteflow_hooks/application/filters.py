"""What a filter would have done to stored events, before an endpoint gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.application.options import new_options
from noteflow_hooks.domain.filters import LAST_N, LAST_N_RANGE, FilterAnswer, is_filterable
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.domain.webhooks import check_range
from noteflow_hooks.errors import FiltersMissingError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

#: What is said of an event whose payload is gone.
ERASED: Final = "erased"


@dataclass(frozen=True, slots=True)
class PreviewedEvent:
    """What a filter says of one event: an answer, or :data:`ERASED`."""

    event: Event
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a filter says of some events, newest first."""

    events: Sequence[PreviewedEvent]

    def count(self, verdict: str) -> int:
        """Return how many have that verdict."""
        return sum(each.verdict == verdict for each in self.events)


def check_preview(text: str, last_n: int | None, *, filters: FilterEvaluator | None) -> tuple[str, int]:
    """Return the filter and how many events to ask it about, or raise InvalidInputError.

    Raise FiltersMissingError where nothing here can tell. May take milliseconds: call it in a thread.
    """
    return check_all(
        lambda: _checked(text, filters),
        lambda: LAST_N if last_n is None else check_range("last_n", last_n, LAST_N_RANGE),
    )


def _checked(text: str, filters: FilterEvaluator | None) -> str:
    if not text:
        raise InvalidInputError("filter", "is missing; allowed is a CEL expression of type bool")
    return new_options({"filter": text}, filters=filters).filter


def newest_events(unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID | None, *, limit: int) -> Sequence[Event]:
    """Return the newest events that the endpoint's filter would be asked about, or any one's of the workspace.

    Raise NotFoundError where the endpoint is not there.
    """
    if webhook_id is None:
        return unit.events.newest_filterable(workspace_id, limit=limit)
    events = [each for each in find_webhook(unit, workspace_id, webhook_id).events if is_filterable(each)]
    return unit.events.newest_filterable(workspace_id, events, limit=limit) if events else ()


def preview(text: str, events: Sequence[Event], *, filters: FilterEvaluator | None) -> Preview:
    """Return what a filter that was checked says of the events.

    May take as long as so many evaluations at their longest, 10 ms each: call it in a thread.
    """
    if filters is None:
        raise FiltersMissingError
    return Preview([_previewed(text, each, filters) for each in events])


def _previewed(text: str, event: Event, filters: FilterEvaluator) -> PreviewedEvent:
    if event.payload_erased_at is not None:
        return PreviewedEvent(event, ERASED)
    verdict = filters.evaluate(text, event_type=event.event_type, payload=event.payload)
    if verdict.answer is FilterAnswer.UNAVAILABLE:
        # It was checked, so this is our own fault, and says nothing of the event's deliveries.
        return PreviewedEvent(event, FilterAnswer.ERROR, verdict.reason)
    return PreviewedEvent(event, verdict.answer, verdict.reason)
