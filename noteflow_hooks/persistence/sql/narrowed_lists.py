"""Lists that callers narrow down: for each set of conditions that is asked for its statements, which are made once."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.attempts import SUCCESS
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.persistence.sql.paging import PageStatements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.paging import EventFilter, MeetingFilter, WebhookFilter

    Criteria = DeliveryFilter | EventFilter | MeetingFilter | WebhookFilter

#: By the names of a filter's fields.
# rule of domain.matching.is_listed
_CONDITIONS: Final = {
    "webhook_id": "webhook_id = :webhook_id",
    "event_id": "event_id = :event_id",
    "meeting_id": "meeting_id = :meeting_id",
    "event_type": "event_type = :event_type",
    "state": "state = :state",
    "created_after": "created_at >= CAST(:created_after AS timestamptz)",
    "created_before": "created_at < CAST(:created_before AS timestamptz)",
}
#: Those of deliveries. A meeting's events are looked up first, whatever the planner believes of their number.
# rule of domain.matching.meets
OF_DELIVERIES: Final = {
    "meeting_id": "event_id = ANY(ARRAY("
    "SELECT id FROM noteflow.webhook_events WHERE workspace_id = :workspace_id AND meeting_id = :meeting_id))",
    "error_kind": "error_kind = :error_kind",
    "status_code": "status_code = CAST(:status_code AS integer)",
    # Nothing that succeeded has one; said so that the indexes of what is not delivered are known to have them all.
    "skip_reason": f"status <> '{DeliveryStatus.SUCCEEDED}' AND skip_reason = :skip_reason",
}
_THROTTLED: Final = {
    True: f"status = '{DeliveryStatus.PENDING}' AND held",
    False: f"NOT (status = '{DeliveryStatus.PENDING}' AND held)",
}
#: What is asked for again and again. What else callers put together is sent whole: it has more combinations than a
#: connection could keep prepared.
_USUAL: Final = frozenset({"webhook_id", "event_type", "created_after", "created_before"})
#: So many lists' statements are kept, and then made anew.
_MADE: Final = 500


class NarrowedLists:
    """The lists of one table, of one workspace each."""

    def __init__(self, columns: str, table: str, *, own: Mapping[str, str] | None = None, always: str = "true") -> None:
        """``columns`` are what is read of the ``table``, of the rows that are ``always`` so.

        ``own`` are its conditions by the names of its filter's fields, where they differ from other tables'.
        """
        self._columns = columns
        self._table = table
        self._conditions = {**_CONDITIONS, **(own if own is not None else {})}
        self._always = always
        self._made: dict[tuple[str, ...], PageStatements] = {}

    def of(self, workspace_id: UUID, criteria: Criteria) -> tuple[PageStatements, Mapping[str, Any]]:
        """Return the statements for those that meet the criteria, and what these take."""
        values = {each.name: getattr(criteria, each.name) for each in fields(criteria)}
        asked = {name: value for name, value in values.items() if value is not None and name in self._conditions}
        literal = _literal(criteria) if isinstance(criteria, DeliveryFilter) else ()
        key = (*asked, *literal)
        if key not in self._made:
            if len(self._made) >= _MADE:
                self._made.clear()
            # One status is asked for as often as none.
            is_kept = _USUAL.issuperset(asked) and len(literal) <= 1
            self._made[key] = self._make([*(self._conditions[name] for name in asked), *literal], is_kept=is_kept)
        return self._made[key], {"workspace_id": workspace_id, **asked}

    def _make(self, conditions: Sequence[str], *, is_kept: bool) -> PageStatements:
        rows = f"FROM {self._table} WHERE {self._always} AND workspace_id = :workspace_id"
        rows = " AND ".join([rows, *conditions])
        return PageStatements(f"SELECT {self._columns} {rows}", counted=rows, is_kept=is_kept)


def _literal(criteria: DeliveryFilter) -> tuple[str, ...]:
    """Return the conditions on the status, written out: only so the indexes are known to be about such rows."""
    wanted, code = sorted(criteria.wanted), criteria.status_code
    throttled = () if criteria.throttled is None else (_THROTTLED[criteria.throttled],)
    if DeliveryStatus.SKIPPED in wanted and DeliveryStatus.SUCCEEDED not in wanted:
        # Not as those that it is: so it would be known to be in the index by `settled_at`, and looked for there, among
        # all workspaces', row by row.
        others = sorted(frozenset(DeliveryStatus).difference(wanted))
        return (" AND ".join(f"status <> '{each}'" for each in others), *throttled)
    if wanted:
        return ("(" + " OR ".join(f"status = '{each}'" for each in wanted) + ")", *throttled)
    return (
        (f"status <> '{DeliveryStatus.SUCCEEDED}'", *throttled)
        if code is not None and code not in SUCCESS
        else throttled
    )
