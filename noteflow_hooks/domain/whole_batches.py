"""Batches as wholes: what is the same for all members is said once, and a member is made only where it is looked at.

A hundred deliveries, claims and results, each a value of its own, cost a worker ten times what the batch's POST does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload
from uuid import UUID

from typing_extensions import override

from noteflow_hooks.domain.batches import BatchClaim, Member
from noteflow_hooks.domain.deliveries import AttemptResult, DeliveryStatus, Settlement, WebhookDelivery
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import EventFacts

if TYPE_CHECKING:
    from noteflow_hooks.domain.filters import HeldBack
    from noteflow_hooks.domain.renderings import Rendering
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.domain.skipping import Skip
    from noteflow_hooks.domain.webhooks import WebhookConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshColumns:
    """A batch that was leased as its deliveries were made: what each member has of its own, by column, in its order."""

    id: UUID
    rendering: Rendering
    lease_expires_at: datetime
    created_at: datetime
    delivery_ids: Sequence[str]
    event_ids: Sequence[str]
    event_types: Sequence[str]
    #: Each event's number among its meeting's, as JSON.
    sequences: Sequence[str]
    payloads: Sequence[str]
    #: A list of each event's meeting and moment, as JSON: the usual format needs none of it.
    facts: str
    #: Of those events that have a trace.
    traceparents: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all columns are as long, as they are unless a row holds what it may not."""
        columns = (self.event_ids, self.event_types, self.sequences, self.payloads)
        return all(len(each) == len(self.delivery_ids) for each in columns)


class FreshMembers(Sequence[Member]):
    """The members of a fresh batch, each of which is made when it is first looked at."""

    def __init__(self, columns: FreshColumns, webhook: WebhookConfig) -> None:
        """All are for that endpoint, and have the same history, which is none."""
        self.columns = columns
        self._webhook = webhook

    @override
    def __len__(self) -> int:
        return len(self.columns.delivery_ids)

    @overload
    def __getitem__(self, place: int) -> Member: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Member]: ...

    @override
    def __getitem__(self, place: int | slice) -> Member | Sequence[Member]:
        return self._all[place]

    @cached_property
    def _all(self) -> Sequence[Member]:
        return [self.made(place) for place in range(len(self))]

    @cached_property
    def _facts(self) -> Sequence[tuple[str | None, str]]:
        facts: Sequence[tuple[str | None, str]] = json.loads(self.columns.facts)
        return facts

    def of_each_type(self) -> Sequence[Member]:
        """Return a member of each type of events."""
        types = self.columns.event_types
        return [self.made(types.index(each)) for each in dict.fromkeys(types)]

    def made(self, place: int) -> Member:
        """Return the member at that place."""
        own = self.columns
        sequence, (meeting_id, moment) = json.loads(own.sequences[place]), self._facts[place]
        facts = EventFacts(meeting_id, datetime.fromisoformat(moment))
        delivery = WebhookDelivery(
            id=UUID(own.delivery_ids[place]),
            webhook_id=self._webhook.id,
            event_id=UUID(own.event_ids[place]),
            event_type=own.event_types[place],
            status=DeliveryStatus.SENDING,
            claim_no=1,
            lease_expires_at=own.lease_expires_at,
            created_at=own.created_at,
            rendering=own.rendering.stored,
            batch_id=own.id,
        )
        return Member(
            delivery,
            self._webhook,
            payload=own.payloads[place].encode(),
            facts=None if delivery.rendering is None else facts,
            rank=None if sequence is None else Rank(sequence),
            content=facts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshBatch(BatchClaim):
    """The claim of a batch that was leased as its deliveries were made."""

    members: FreshMembers

    @property
    @override
    def is_late(self) -> bool:
        """Its members are new: what stands in an order goes through slots, and is part of no fresh batch."""
        return False

    @override
    def reason_to_skip(self) -> Skip | None:
        """Return why it can't be sent: of its members nothing but their types tells them from each other."""
        reasons = (each.reason_to_skip() for each in self.members.of_each_type())
        return next((each for each in reasons if each is not None), None)


def fresh_batch(columns: FreshColumns, webhook: WebhookConfig) -> FreshBatch:
    """Return the claim of a batch that was leased as its deliveries were made."""
    members = FreshMembers(columns, webhook)
    first = members.made(0)
    return FreshBatch(
        first.delivery,
        webhook,
        payload=first.payload,
        facts=first.facts,
        rank=first.rank,
        id=columns.id,
        members=members,
        rendering=columns.rendering,
    )


@dataclass(frozen=True, slots=True)
class WholeSuccess(Settlement):
    """One result for all members of a batch, which have all succeeded: what else it says is the first one's."""

    #: The deliveries, in their order, as text: nothing else is made of them.
    together: tuple[str, ...] = ()

    def of(self, before: WebhookDelivery) -> Settlement:
        """Return the settlement of one of them, as it was before."""
        mine = {
            name: getattr(before, name)
            for name in ("id", "event_id", "event_type", "created_at", "sequence", "gap", "out_of_order")
        }
        return Settlement(self.delivery._replace(**mine), attempt=self.attempt, batch_id=self.batch_id)


def whole_success(
    batch: BatchClaim, result: AttemptResult | HeldBack | None, *, policy: RetryPolicy
) -> WholeSuccess | None:
    """Return the one settlement of a batch that has succeeded as a whole; None where its members differ in anything."""
    if not isinstance(result, AttemptResult) or not result.succeeded or result.failed_events:
        return None
    if batch.webhook.options.filter or not _are_alike(batch.members):
        return None
    after, _ = batch.delivery.attempted(result, max_retries=batch.webhook.max_retries, policy=policy, draw=0.0)
    return WholeSuccess(after, attempt=result, batch_id=batch.id, together=ids_of(batch))


def ids_of(batch: BatchClaim) -> tuple[str, ...]:
    """Return the ids of a batch's deliveries as text."""
    members = batch.members
    if isinstance(members, FreshMembers):
        return tuple(members.columns.delivery_ids)
    return tuple(str(each.delivery.id) for each in members)


def _are_alike(members: Sequence[Member]) -> bool:
    """Tell whether one result leads to the same row for all, which stand in no order."""
    if isinstance(members, FreshMembers):
        return True
    histories = {_history(each.delivery) for each in members}
    first = members[0].delivery
    return len(histories) == 1 and first.passes_filter is not False and first.ordered_meeting is None


def _history(delivery: WebhookDelivery) -> tuple[Any, ...]:
    return (
        delivery.attempt_count,
        delivery.claim_no,
        delivery.budget_used,
        delivery.passes_filter,
        delivery.ordered_meeting,
        delivery.rendering,
    )
