"""What those who watch deliveries are told: what has changed of any of them, looked up once for all.

A delivery is told when it is made, whenever an attempt of it is recorded, and when it is seen that it has ended by
itself. It is told as it is then: what changes twice between two looks is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.deliveries import DeliveryView
from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.matching import meets
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.paging import DeliveryChange, DeliveryFilter
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

#: How far back a watch may begin: what is older is in the list of deliveries.
BEHIND_LIMIT: Final = timedelta(minutes=10)
#: So much is looked up at once, however far behind a look is.
_WINDOW: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Seen:
    """A delivery that somebody who watches wants to know of."""

    change: DeliveryChange
    view: DeliveryView

    @property
    def look(self) -> tuple[object, ...]:
        """What of it is told: while this stays the same there is nothing new."""
        delivery = self.view.delivery
        return delivery.status, delivery.attempt_count, delivery.error_message


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found."""

    seen: Sequence[Seen]
    #: Up to when everything has been looked at.
    until: datetime
    #: Whether there is more behind that already.
    is_behind: bool


def is_wanted(change: DeliveryChange, workspace_id: UUID, criteria: DeliveryFilter) -> bool:
    """Tell whether a delivery belongs to that workspace and matches the filter."""
    return change.workspace_id == workspace_id and meets(change.delivery, criteria, meeting_id=change.meeting_id)


def look(
    unit: UnitOfWork,
    workspace_ids: Collection[UUID],
    *,
    since: datetime,
    wants: Callable[[DeliveryChange], bool],
    again: Collection[UUID] = (),
) -> Look:
    """Look at what has changed in these workspaces from ``since`` on, and at those deliveries ``again``.

    Only what is wanted is returned, since the reasons of others would be worked out for nothing.
    """
    seen_to = unit.deliveries.horizon()
    until = max(since, min(seen_to, since + _WINDOW))
    found = list(unit.deliveries.changes(workspace_ids, since=since, until=until))
    if again:
        # Of these only the end is told; that they were claimed meanwhile is not.
        found += [each for each in unit.deliveries.present(again) if each.delivery.status in FINAL_STATUSES]
    wanted = [each for each in found if wants(each)]
    reasons = unit.deliveries.reasons([each.delivery for each in wanted])
    seen = [Seen(each, DeliveryView(each.delivery, reasons.get(each.delivery.id))) for each in wanted]
    return Look(seen, until, is_behind=until < seen_to)


def horizon(unit: UnitOfWork) -> datetime:
    """Return the moment from which on there is anything to look at."""
    return unit.deliveries.horizon()


def check_since(since: datetime, *, now: datetime) -> datetime:
    """Return where a watch is to begin, or raise InvalidInputError where that is too long ago."""
    if now - since > BEHIND_LIMIT:
        minutes = BEHIND_LIMIT // timedelta(minutes=1)
        raise InvalidInputError("since", f"may be at most {minutes} minutes ago; ListDeliveries has what is older")
    return since
