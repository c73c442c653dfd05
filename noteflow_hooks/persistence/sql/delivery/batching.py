"""Slots in PostgreSQL, of endpoints with batches and of others. The caller has begun, and holds the slot.

A batch is stored in the transaction that claims its members, so before its POST. From then on it is taken up again as
it stands there, whatever has died or was changed meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.batches import (
    NO_LIMIT,
    Batch,
    Waiting,
    assembled,
    begun,
    is_missing_members,
    planned,
)
from noteflow_hooks.domain.health.scheduling import ROOM_POLL
from noteflow_hooks.domain.health.slots import SlotUse
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.renderings import USUAL, EventFacts, Rendering
from noteflow_hooks.persistence.sql.delivery import batch_statements as statements
from noteflow_hooks.persistence.sql.delivery.claim_statements import CLAIM_THROTTLED
from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow, ids_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.health.slots import OwnSlot

#: When to look again for members that somebody else has locked.
_SOON: Final = timedelta(milliseconds=20)
_CLAIM_WIDTH: Final = len(ClaimRow._fields)


@dataclass(slots=True)
class SlotClaims:
    """What a slot has claimed."""

    webhook_id: UUID
    rows: list[ClaimRow] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    contents: dict[UUID, EventFacts] = field(default_factory=dict)
    #: By delivery: its batch, and how many may share its next one.
    places: dict[UUID, tuple[UUID | None, int | None]] = field(default_factory=dict)
    #: How many POSTs that makes.
    posts: int = 0
    #: When more may go that waits for something else than room.
    ready_at: datetime | None = None

    @property
    def use(self) -> SlotUse:
        """What the slot was used for."""
        return SlotUse(self.posts, self.ready_at)

    def note_ready(self, moment: datetime | None) -> None:
        """Note that something may go at that moment."""
        if moment is not None:
            self.ready_at = moment if self.ready_at is None else min(self.ready_at, moment)

    def assembled(self, claims: Sequence[Claim]) -> list[Claim]:
        """Return what is to be sent, of the claims that the rows have become."""
        by_id = {each.delivery.id: self._in_batch(each) for each in claims}
        grouped = [assembled(each, by_id, self.contents) for each in self.batches]
        together = {key for each in self.batches for key in each.members}
        alone = [each for key, each in by_id.items() if key not in together]
        return [*(each for each in grouped if each is not None), *alone]

    def _in_batch(self, claim: Claim) -> Claim:
        """Return the claim with what the statement that claims has said of its delivery beside the usual."""
        batch_id, limit = self.places[claim.delivery.id]
        return replace(claim, delivery=claim.delivery._replace(batch_id=batch_id, batch_limit=limit))


def claim_alone(connection: Connection, slots: Sequence[OwnSlot], *, lease_slack: timedelta) -> list[ClaimRow]:
    """Claim in slots of endpoints whose deliveries go one by one, and in no order."""
    if not slots:
        return []
    params = {
        "webhook_ids": [each.webhook.id for each in slots],
        "counts": [each.share for each in slots],
        "slack_s": lease_slack.total_seconds(),
    }
    return [ClaimRow._make(row) for row in connection.execute(CLAIM_THROTTLED, params)]


def claim_batches(
    connection: Connection, slot: OwnSlot, *, lease_slack: timedelta, among: Sequence[UUID] | None = None
) -> SlotClaims:
    """Claim up to the slot's share of POSTs: batches that are due again, then new ones.

    New ones are made of what is ``among`` these, where the endpoint keeps an order.
    """
    found = SlotClaims(slot.webhook.id)
    if not slot.share:
        return found
    live = _live(connection, slot, found, among=among)[: slot.share]
    room = slot.share - len(live)
    plan = planned(_fresh(connection, slot, room=room, among=among), slot.webhook, most=room, now=slot.now)
    made = [begun(each, ordered_id(), slot.webhook) for each in plan.groups if not each.alone]
    alone = [key for each in plan.groups if each.alone for key in each.ids]
    found.batches = [*live, *made]
    found.posts = len(found.batches) + len(alone)
    found.note_ready(plan.ready_at)
    if found.posts:
        _claim(connection, slot, found, made=made, alone=alone, lease_slack=lease_slack)
        if among is not None:
            connection.execute(
                statements.NOTE_SENT, {"webhook_id": slot.webhook.id, "ids": [row.id for row in found.rows]}
            )
    found.note_ready(connection.execute(statements.NEXT_DUE, {"webhook_id": slot.webhook.id}).scalar_one())
    return found


def _live(connection: Connection, slot: OwnSlot, found: SlotClaims, *, among: Sequence[UUID] | None) -> list[Batch]:
    """Lock batches that are due; dissolve those of which a member has gone another way."""
    own = {"webhook_id": slot.webhook.id}
    rows = connection.execute(statements.LIVE_BATCHES, {**own, "limit": slot.share * NO_LIMIT}).all()
    if not rows:
        return []
    waiting = [key for row in rows for key in row.waiting]
    locked = set(connection.scalars(statements.LOCK, {"ids": ids_text(waiting)}))
    live: list[Batch] = []
    gone: list[UUID] = []
    for row in rows:
        own_locked = [key for key in row.waiting if key in locked]
        if row.sending or len(own_locked) < len(row.waiting):
            # Its members are just being settled, reclaimed or erased.
            found.note_ready(slot.now + (ROOM_POLL if row.sending else _SOON))
            continue
        batch = _batch(row, slot)
        if batch is None or is_missing_members(batch, left=locked):
            gone += own_locked
        else:
            live.append(batch)
    if gone:
        connection.execute(statements.DISSOLVE, {"ids": gone, "limit": NO_LIMIT})
        if among is not None:
            # Which of them is its meeting's next one is for the next slot to say.
            found.note_ready(slot.now)
    return live


def _batch(row: Row[Any], slot: OwnSlot) -> Batch | None:
    """Return the batch; None where its row is gone, which only a change by hand can cause."""
    return (
        None
        if row.members is None
        else Batch(row.id, slot.webhook.id, tuple(row.members), Rendering.read(row.rendering) or USUAL)
    )


def _fresh(connection: Connection, slot: OwnSlot, *, room: int, among: Sequence[UUID] | None) -> list[Waiting]:
    params = {"webhook_id": slot.webhook.id, "limit": max(1, room) * max(1, slot.webhook.options.batch_max)}
    if among is None:
        rows = connection.execute(statements.FRESH, params)
    else:
        rows = connection.execute(statements.FRESH_AMONG, params | {"among": list(among)})
    return [Waiting(**dict(row) | {"rendering": _fixed(row.rendering)}) for row in rows.mappings()]


def _fixed(stored: str | None) -> Rendering | None:
    """Return by what a delivery is rendered that was begun, whose text is empty where that is the usual."""
    return None if stored is None else Rendering.read(stored) or USUAL


def _claim(
    connection: Connection,
    slot: OwnSlot,
    found: SlotClaims,
    *,
    made: Sequence[Batch],
    alone: Sequence[UUID],
    lease_slack: timedelta,
) -> None:
    chosen: dict[UUID, UUID | None] = {key: batch.id for batch in found.batches for key in batch.members}
    chosen |= dict.fromkeys(alone)
    renderings = {batch.id: batch.rendering.stored for batch in found.batches}
    rows = connection.execute(
        statements.CLAIM_BATCHES,
        {
            "webhook_id": slot.webhook.id,
            "ids": ids_text(chosen),
            "batch_ids": list(chosen.values()),
            "renderings": [None if each is None else renderings[each] for each in chosen.values()],
            "made": json.dumps([_stored(each) for each in made]),
            "slack_s": lease_slack.total_seconds(),
        },
    ).all()
    found.rows = [ClaimRow._make(row[:_CLAIM_WIDTH]) for row in rows]
    found.places = {row.id: (row.batch_id, row.batch_limit) for row in rows}
    found.contents = {
        row.id: EventFacts(row.meeting_id, row.occurred_at).traced(row.traceparent, since=row.stored_at) for row in rows
    }


def _stored(batch: Batch) -> Mapping[str, str]:
    members = ",".join(map(str, batch.members))
    return {"id": str(batch.id), "members": f"{{{members}}}", "rendering": batch.rendering.text}
