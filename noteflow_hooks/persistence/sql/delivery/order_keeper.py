"""Claims in the slots of endpoints that get a meeting's events in order. Its caller has locked their health.

A slot looks at two things: meetings whose head has gone, and what is new. Of each meeting it claims the head, and
blocks what it has found behind it, so that no slot looks at that again before the head has gone.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import OnDead
from noteflow_hooks.domain.ordering import LOOK_AGAIN, MeetingOrder, Step, Walked
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.persistence.sql.delivery import order_statements as statements
from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from noteflow_hooks.domain.health.slots import OwnSlot

#: How many new deliveries, and how many meetings, of an endpoint one slot looks at, at the most.
_LOOKED_AT: Final = 500
#: So many more meetings than it may claim of, since of some nothing may go; and so many times more deliveries than
#: that, since some are of one meeting. What a slot looks at without need costs as much as what it claims.
_SPARE: Final = 16
_OF_EACH: Final = 4
#: How many events a walk reads at first, of each meeting, and how many times more where that was not far enough.
_STEPS: Final = 8
_MORE_STEPS: Final = 16
#: The most events of one meeting that one slot goes through.
_STEPS_LIMIT: Final = 2_048
#: How far back a walk begins where an earlier event is sent again, at the most.
_LOOKED_BACK: Final = 1_000

#: An endpoint and a meeting.
Meeting = tuple["UUID", str]


@dataclass(slots=True)
class OrderedClaims:
    """What the slots have claimed, and when the endpoints are to be looked at again for what was left."""

    rows: list[ClaimRow] = field(default_factory=list)
    again: dict[UUID, datetime] = field(default_factory=dict)
    #: By endpoint with batches, what may be taken into one now.
    offered: dict[UUID, list[UUID]] = field(default_factory=dict)
    #: Whether something waits for an event that is not dispatched yet.
    awaits_dispatch: bool = False

    def look_again(self, slot: OwnSlot, wait: timedelta) -> None:
        """Have an endpoint looked at again after that time, at the latest."""
        moment = slot.now + wait
        self.again[slot.webhook.id] = min(moment, self.again.get(slot.webhook.id, moment))


@dataclass(slots=True)
class _Found:
    """One meeting at one endpoint, in one slot."""

    slot: OwnSlot
    meeting_id: str
    #: New deliveries with their numbers.
    candidates: dict[UUID, int] = field(default_factory=dict)
    walked: Walked = field(default_factory=lambda: Walked(MeetingOrder()))
    #: Whether the walk has come to its end in this slot.
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A delivery, with what is to be put on record of it."""

    id: UUID
    meeting_id: str | None = None
    rank: Rank | None = None

    def as_row(self) -> dict[str, Any]:
        rank = self.rank
        shown = (None, None, None) if rank is None else (rank.sequence, rank.gap, rank.is_late)
        return {
            "id": str(self.id),
            "meeting_id": self.meeting_id,
            **dict(zip(("sequence", "gap", "is_late"), shown, strict=True)),
        }


class OrderKeeper:
    """Chooses what goes next of each meeting, claims it, and blocks the rest."""

    def __init__(self, connection: Connection, slots: Sequence[OwnSlot], *, lease_slack: timedelta) -> None:
        """The slots are of endpoints that keep an order, whose health is locked in this transaction."""
        self._connection = connection
        self._slots = {each.webhook.id: each for each in slots if each.share}
        self._slack_s = lease_slack.total_seconds()
        self._found: dict[Meeting, _Found] = {}
        #: By endpoint, what stands in no order, and since when each is due.
        self._free: dict[UUID, list[tuple[datetime, UUID]]] = {}
        self._claims = OrderedClaims()

    def claim(self) -> OrderedClaims:
        """Claim as many of each endpoint as its slot allows."""
        if self._slots:
            self._look()
            self._read_orders()
            self._walk()
            self._take()
        return self._claims

    def _ask(self, statement: Any, **params: Any) -> Sequence[Row[Any]]:  # noqa: ANN401 - whatever it takes
        return self._connection.execute(statement, params).all()

    def _look(self) -> None:
        """Find the meetings to look at: the released ones first, and then those of what is new."""
        ids = list(self._slots)
        meetings = {key: _meetings_for(slot) for key, slot in self._slots.items()}
        most = max(meetings.values())
        limit = min(_LOOKED_AT, _OF_EACH * most)
        going_on = [key for key, slot in self._slots.items() if slot.webhook.options.on_dead is OnDead.SKIP]
        released = self._ask(statements.TAKE_RELEASED, webhook_ids=ids, going_on=going_on, limit=most)
        for row in released:
            self._meeting(row.webhook_id, row.meeting_id)
        candidates = self._ask(statements.CANDIDATES, webhook_ids=ids, limit=limit)
        found: Counter[UUID] = Counter()
        for row in candidates:
            webhook_id, meeting_id = row.webhook_id, row.meeting_id
            if meeting_id is None or row.sequence is None:
                self._free.setdefault(webhook_id, []).append((row.due_at, row.id))
                continue
            if (webhook_id, meeting_id) not in self._found:
                if found[webhook_id] >= meetings[webhook_id]:
                    # Left as it is, for the next slot.
                    self._claims.look_again(self._slots[webhook_id], timedelta(0))
                    continue
                found[webhook_id] += 1
            self._meeting(webhook_id, meeting_id).candidates[row.id] = row.sequence
        for rows, looked_at in ((released, most), (candidates, limit)):
            for webhook_id, count in Counter(row.webhook_id for row in rows).items():
                if count >= looked_at:
                    self._claims.look_again(self._slots[webhook_id], timedelta(0))

    def _meeting(self, webhook_id: UUID, meeting_id: str) -> _Found:
        key = webhook_id, meeting_id
        if key not in self._found:
            self._found[key] = _Found(self._slots[webhook_id], meeting_id)
        return self._found[key]

    def _read_orders(self) -> None:
        if not self._found:
            return
        for row in self._ask(statements.ORDERS, **_keys(self._found)):
            found = self._found[row.webhook_id, row.meeting_id]
            order = (
                MeetingOrder() if row.through is None else MeetingOrder(row.through, row.sent, row.gap, row.stopped_by)
            )
            to_go = [*found.candidates.values(), *(() if row.lowest is None else (row.lowest,))]
            if to_go and min(to_go) <= order.through:
                order = order.rewound(self._got_before(found, min(to_go)))
            found.walked = Walked(order)

    def _got_before(self, found: _Found, sequence: int) -> int:
        webhook = found.slot.webhook
        own = {"webhook_id": webhook.id, "workspace_id": webhook.workspace_id, "meeting_id": found.meeting_id}
        through: int = self._ask(statements.GOT_BEFORE, **own, sequence=sequence, limit=_LOOKED_BACK)[0].through
        return through

    def _walk(self) -> None:
        """Go through each meeting, as far as to its head or to what it waits for."""
        walking, limit = dict(self._found), _STEPS
        while walking and limit <= _STEPS_LIMIT:
            steps = self._steps(walking, limit)
            for key, found in list(walking.items()):
                own = steps.get(key, [])
                found.walked = found.walked.order.walked(own, found.slot.webhook.options.on_dead)
                if not found.walked.is_through or len(own) < limit:
                    del walking[key]
            limit *= _MORE_STEPS
        for found in walking.values():
            # It goes on from where it has come to.
            found.is_whole = False

    def _steps(self, walking: Mapping[Meeting, _Found], limit: int) -> dict[Meeting, list[Step]]:
        params = _keys(walking) | {
            "workspace_ids": [each.slot.webhook.workspace_id for each in walking.values()],
            "behind": [each.walked.order.through for each in walking.values()],
        }
        steps: dict[Meeting, list[Step]] = {}
        for row in self._ask(statements.STEPS, **params, limit=limit):
            steps.setdefault((row.webhook_id, row.meeting_id), []).append(_step(row))
        return steps

    def _take(self) -> None:
        """Claim, block and mark what the walks have found, and store how far they have come."""
        chosen = list(self._chosen())
        taken = self._claimed(chosen) | self._offered(chosen)
        heads = {key: each for key, each in chosen if key is not None}
        missed = {key for key, each in heads.items() if each.id not in taken}
        blocked, marked, released = self._rest(heads, missed)
        if blocked:
            self._connection.execute(statements.BLOCK, _rows(blocked))
        if marked:
            self._mark(marked, released)
        if released:
            self._connection.execute(statements.RELEASE, _keys(released))
        self._store()

    def _chosen(self) -> Iterator[tuple[Meeting | None, _Chosen]]:
        """Yield what may go: of each endpoint what has no order, and the heads, those due longest, up to its share.

        Where events go in batches it is all heads: how many go together is decided by who makes the batches.
        """
        waiting: dict[UUID, list[tuple[datetime, Meeting | None, _Chosen]]] = {key: [] for key in self._slots}
        for webhook_id, free in self._free.items():
            if not self._slots[webhook_id].is_batched:
                waiting[webhook_id] += [(due_at, None, _Chosen(each)) for due_at, each in free]
        for key, found in self._found.items():
            head = found.walked.head
            if head is not None and head.delivery_id is not None and head.due_at is not None:
                chosen = _Chosen(head.delivery_id, found.meeting_id, found.walked.order.rank(head))
                waiting[key[0]].append((head.due_at, key, chosen))
        for webhook_id, slot in self._slots.items():
            # Those that one dispatch has made are due alike; their ids are in order.
            own = sorted(waiting[webhook_id], key=lambda each: (each[0], each[2].id))
            yield from ((key, each) for _, key, each in own[: None if slot.is_batched else slot.share])

    def _claimed(self, chosen: Iterable[tuple[Meeting | None, _Chosen]]) -> set[UUID]:
        """Claim what goes by itself; return what was not passed over."""
        alone = [each for key, each in chosen if key is None or not self._slots[key[0]].is_batched]
        if alone:
            rows = self._ask(statements.CLAIM_CHOSEN, **_rows(alone), slack_s=self._slack_s)
            self._claims.rows = [ClaimRow._make(row) for row in rows]
        return {each.id for each in self._claims.rows}

    def _offered(self, chosen: Iterable[tuple[Meeting | None, _Chosen]]) -> set[UUID]:
        """Let heads be taken into batches, each of another meeting; return what was not passed over."""
        owners = {each.id: key[0] for key, each in chosen if key is not None and self._slots[key[0]].is_batched}
        together = [each for _, each in chosen if each.id in owners]
        taken = {row.id for row in self._ask(statements.OFFER, **_rows(together))} if together else set()
        offered = self._claims.offered
        offered.update(
            {key: [each for _, each in self._free.get(key, ())] for key, slot in self._slots.items() if slot.is_batched}
        )
        for each in taken:
            offered[owners[each]].append(each)
        return taken

    def _rest(
        self, heads: Mapping[Meeting, _Chosen], missed: set[Meeting]
    ) -> tuple[list[_Chosen], dict[Meeting, _Chosen], list[Meeting]]:
        """Return what is to be blocked, what is to be marked, and the meetings that are to be looked at again."""
        blocked: list[_Chosen] = []
        marked: dict[Meeting, _Chosen] = {}
        released: list[Meeting] = []
        for key, found in self._found.items():
            walked = found.walked
            if walked.head is not None and key in heads and key not in missed:
                if not found.slot.is_batched:
                    found.walked = replace(walked, order=walked.order.claimed(walked.head))
            elif walked.head is not None or not found.is_whole:
                # No place was left for it, somebody else is busy with it, or the walk goes on: nothing is blocked.
                released.append(key)
                self._claims.look_again(self._slots[key[0]], LOOK_AGAIN if key in missed else timedelta(0))
                continue
            elif walked.blocker is None:
                # What was new has gone meanwhile.
                continue
            elif walked.blocker.status is None:
                released.append(key)
                self._claims.look_again(self._slots[key[0]], LOOK_AGAIN)
                self._claims.awaits_dispatch = True
            elif not walked.blocker.is_marked and walked.blocker.delivery_id is not None:
                rank = Rank(walked.blocker.sequence)
                marked[key] = _Chosen(walked.blocker.delivery_id, found.meeting_id, rank)
            head_id = None if walked.head is None else walked.head.delivery_id
            blocked += [
                _Chosen(each, found.meeting_id, Rank(number))
                for each, number in found.candidates.items()
                if each != head_id
            ]
        return blocked, marked, released

    def _mark(self, marked: Mapping[Meeting, _Chosen], released: list[Meeting]) -> None:
        """Put what others wait for on record; where somebody is just busy with it, look again soon."""
        done = {row.id for row in self._ask(statements.MARK, **_rows(list(marked.values())))}
        for key, each in marked.items():
            if each.id not in done:
                released.append(key)
                self._claims.look_again(self._slots[key[0]], LOOK_AGAIN)

    def _store(self) -> None:
        if not self._found:
            return
        rows = [
            {
                "webhook_id": str(webhook_id),
                "meeting_id": meeting_id,
                "through": found.walked.order.through,
                "sent": found.walked.order.sent,
                "gap": found.walked.order.gap,
                "stopped_by": None if found.walked.order.stopped_by is None else str(found.walked.order.stopped_by),
            }
            for (webhook_id, meeting_id), found in self._found.items()
        ]
        self._connection.execute(statements.STORE_ORDERS, {"rows": json.dumps(rows)})


def _meetings_for(slot: OwnSlot) -> int:
    """Return how many meetings its slot looks at."""
    of_each = max(1, slot.webhook.options.batch_max) if slot.is_batched else 1
    return min(_LOOKED_AT, slot.share * of_each + _SPARE)


def _keys(meetings: Iterable[Meeting]) -> dict[str, list[Any]]:
    own = list(meetings)
    return {"webhook_ids": [each[0] for each in own], "meeting_ids": [each[1] for each in own]}


def _rows(chosen: Sequence[_Chosen]) -> dict[str, Any]:
    return {"rows": json.dumps([each.as_row() for each in chosen])}


def _step(row: Row[Any]) -> Step:
    return Step(
        row.sequence,
        row.event_id,
        row.is_dispatched,
        row.delivery_id,
        None if row.status is None else DeliveryStatus(row.status),
        None if row.skip_reason is None else SkipReason(row.skip_reason),
        row.attempt_count,
        is_claimable=row.is_claimable,
        is_marked=row.is_marked,
        due_at=row.due_at,
    )
