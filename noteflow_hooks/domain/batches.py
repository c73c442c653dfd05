"""Batches: several events for one endpoint in one request. Which go together, and what comes of it for each.

What belongs to a batch is chosen once, before its first attempt. It is sent as that batch until it is settled, or until
it is dissolved: then what is not settled goes into new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import AttemptResult, Claim, DeliveryStatus, Settlement
from noteflow_hooks.domain.filters import HeldBack
from noteflow_hooks.domain.renderings import LOOK_AGAIN_AFTER, UNKNOWN_RENDERER, USUAL, EventFacts, Rendering

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.filters import Verdict
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.domain.skipping import Skip
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The most bytes of a batch's body.
BODY_LIMIT: Final = 262_144
#: At least what an element has beside its payload and its meeting's id, in every format.
ENVELOPE: Final = 1_024
#: A character of a meeting's id has so many bytes at the most, as JSON writes it.
CHARACTER: Final = 6
#: The status code with which a receiver says that a request is too large (RFC 9110, 15.5.14).
TOO_LARGE: Final = 413
#: How many may share a batch where no answer has asked for fewer.
NO_LIMIT: Final = 100
NAMED_AS_FAILED: Final = "The answer names it as failed"
BEHIND_A_FAILED_ONE: Final = "The answer names an earlier one of its meeting as failed"


Kin: TypeAlias = "tuple[int, int, Rendering | None, bool]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A throttled delivery that is due, as it matters for what goes together."""

    delivery_id: UUID
    created_at: datetime
    #: The bytes of its payload.
    payload_bytes: int
    budget_used: int = 0
    interruptions: int = 0
    #: By what it is rendered, where an attempt of it may have been made; None where its first one chooses.
    rendering: Rendering | None = None
    #: Where a batch that it belonged to was dissolved: how many may share its next one.
    limit: int | None = None
    #: Whether its endpoint's filter has let it pass: then it shares no batch with others, which may be held back yet.
    has_passed: bool = False
    #: A test, which is never part of a batch.
    targeted: bool = False
    meeting_id: str | None = None

    @property
    def goes_alone(self) -> bool:
        """Whether it is sent as it was before: what was begun alone keeps its bytes."""
        return self.targeted or (self.rendering is not None and self.limit is None)

    @property
    def kin(self) -> Kin:
        """What those that share a batch have in common: attempts left, rendering, and whether the filter has spoken."""
        return self.budget_used, self.interruptions, self.rendering, self.has_passed

    @property
    def most_bytes(self) -> int:
        """How many bytes it takes of a body, at the most."""
        return self.payload_bytes + ENVELOPE + CHARACTER * len(self.meeting_id or "")


@dataclass(frozen=True, slots=True)
class Group:
    """What goes in one request."""

    members: tuple[Waiting, ...]
    #: Whether it is no batch but one delivery by itself.
    alone: bool = False

    @property
    def ids(self) -> tuple[UUID, ...]:
        """The deliveries, in their order."""
        return tuple(each.delivery_id for each in self.members)


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes now of what waits for an endpoint."""

    groups: tuple[Group, ...]
    #: When the first of those that still wait for others goes anyway; None where none waits for that.
    ready_at: datetime | None


class _Open:
    """A batch that is being put together."""

    def __init__(self, first: Waiting, most: int) -> None:
        self.members = [first]
        self._most = most
        self._room = BODY_LIMIT - first.most_bytes
        self._limit = first.limit if first.limit is not None else NO_LIMIT
        #: Whether another one did not fit, or none would.
        self.is_full = len(self.members) >= min(self._most, self._limit)

    def takes(self, another: Waiting) -> bool:
        """Take another one if it fits; if not, the batch is full."""
        limit = min(self._limit, another.limit if another.limit is not None else NO_LIMIT)
        count = len(self.members) + 1
        if self.is_full or count > min(self._most, limit) or another.most_bytes > self._room:
            self.is_full = True
            return False
        self.members.append(another)
        self._room -= another.most_bytes
        self._limit = limit
        self.is_full = count >= min(self._most, limit)
        return True


def planned(waiting: Iterable[Waiting], webhook: WebhookConfig, *, most: int, now: datetime) -> Plan:
    """Return the requests that go now, ``most`` at most, of what waits in that order.

    A batch goes once it is full, or its first one has waited for as long as the endpoint allows; what was part of one
    before has waited, and waits no more.
    """
    wait = timedelta(milliseconds=webhook.options.batch_wait_ms)
    ready, open_ones = _put_together(waiting, batch_max=webhook.options.batch_max)
    ready_at: datetime | None = None
    for batch in open_ones:
        due = min(each.created_at for each in batch.members) + wait
        if batch.is_full or due <= now or any(each.limit is not None for each in batch.members):
            ready.append(Group(tuple(batch.members)))
        else:
            ready_at = due if ready_at is None else min(ready_at, due)
    return Plan(tuple(ready[:most]), ready_at)


def _put_together(waiting: Iterable[Waiting], *, batch_max: int) -> tuple[list[Group], list[_Open]]:
    """Return what is whole already, in its order, and the batches that have room left."""
    whole: list[Group] = []
    open_ones: dict[Kin, _Open] = {}
    for each in waiting:
        if each.goes_alone or not batch_max:
            whole.append(Group((each,), alone=True))
            continue
        batch = open_ones.get(each.kin)
        if batch is None or not batch.takes(each):
            if batch is not None:
                whole.append(Group(tuple(batch.members)))
            open_ones[each.kin] = _Open(each, batch_max)
    return whole, list(open_ones.values())


def fresh_groups(waiting: Sequence[Waiting], webhook: WebhookConfig) -> list[Group]:
    """Return the batches that may go as their deliveries are made, which wait in that order and have no history.

    Those are full, or need not wait to be; and what may be too large for a body is put together with more care later.
    """
    options, groups = webhook.options, []
    for first in range(0, len(waiting), options.batch_max):
        members = waiting[first : first + options.batch_max]
        is_ready = len(members) == options.batch_max or not options.batch_wait_ms
        if is_ready and sum(each.most_bytes for each in members) <= BODY_LIMIT:
            groups.append(Group(tuple(members)))
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Claim):
    """A claimed delivery that is part of a batch."""

    #: What its element needs of the event, whatever its rendering is.
    content: EventFacts

    @property
    def meeting(self) -> tuple[str, int] | None:
        """Its meeting and its number there; None where it stands in no order."""
        meeting_id = self.content.meeting_id
        return None if self.rank is None or meeting_id is None else (meeting_id, self.rank.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchClaim(Claim):
    """A claimed batch; what it has of a claim is its first member's. It is one POST."""

    id: UUID
    members: Sequence[Member]
    #: By what it is rendered at all of its attempts.
    rendering: Rendering

    @property
    def awaits_release(self) -> bool:
        """Whether it was begun with a renderer that this release doesn't have."""
        return not self.rendering.is_known

    @property
    def is_late(self) -> bool:
        """Whether one of its members comes behind a later one of its meeting."""
        return any(each.rank is not None and each.rank.is_late for each in self.members)

    @property
    def asks_filter(self) -> bool:
        """Whether the endpoint's filter is to be asked about one of its members."""
        return bool(self.webhook.options.filter) and any(each.asks_filter for each in self.members)

    def settlements(
        self, result: AttemptResult | HeldBack | None, *, policy: RetryPolicy, draw: Callable[[], float]
    ) -> list[Settlement]:
        """Return each member's next state: by the one attempt's result or, without one, skipped or given back.

        Where the filter does not let some of them pass, the batch is dissolved, and not sent.
        """
        if result is None:
            return self._unsent()
        if isinstance(result, HeldBack):
            return [self._held_back(each, result.of.get(each.delivery.id)) for each in self.members]
        # One draw, so that the members come due together.
        drawn = draw()
        failed = self._failed(result)
        limit = self._limit_after(result, failed)
        settlements = []
        for each in self.members:
            own = failed_one(result, each.delivery.event_id) if each.delivery.event_id in failed else result
            after, wait = each.delivery.attempted(own, max_retries=self.webhook.max_retries, policy=policy, draw=drawn)
            if limit is not None and after.status is DeliveryStatus.PENDING:
                after = without_batch(after, limit)
            after = each.let_pass(after)
            settlements.append(Settlement(after, wait=wait, attempt=own, batch_id=self.id))
        return settlements

    def _held_back(self, member: Member, verdict: Verdict | None) -> Settlement:
        """Return the next state of a member of a batch that the filter keeps from being sent; None lets it pass."""
        if verdict is None:
            after = without_batch(member.let_pass(member.delivery.released()), NO_LIMIT)
            return Settlement(after, wait=timedelta(0), batch_id=self.id)
        own = member.settlement_of(verdict)
        return replace(own, delivery=without_batch(own.delivery, NO_LIMIT), batch_id=self.id)

    def _unsent(self) -> list[Settlement]:
        skips = [each.reason_to_skip() for each in self.members]
        dissolved = any(each is not None for each in skips)
        words, wait = (UNKNOWN_RENDERER, LOOK_AGAIN_AFTER) if self.awaits_release else (None, timedelta(0))
        settlements = []
        for member, skip in zip(self.members, skips, strict=True):
            if skip is not None:
                settlements.append(Settlement(member.delivery.skipped(skip), batch_id=self.id))
                continue
            after = member.delivery.released(words)
            after = without_batch(after, NO_LIMIT) if dissolved else after
            settlements.append(Settlement(after, wait=timedelta(0) if dissolved else wait, batch_id=self.id))
        return settlements

    def _failed(self, result: AttemptResult) -> frozenset[UUID]:
        """Return the events that have failed although the answer is a success.

        With an order, so have those behind them: a batch may be older than the order, and hold several of a meeting.
        """
        named = result.failed_events if result.succeeded else frozenset()
        if not named or not self.webhook.options.is_ordered:
            return named
        first: dict[str, int] = {}
        for each in self.members:
            if each.delivery.event_id in named and each.meeting is not None:
                meeting_id, sequence = each.meeting
                first[meeting_id] = min(sequence, first.get(meeting_id, sequence))
        behind = (
            each.delivery.event_id
            for each in self.members
            if each.meeting is not None and each.meeting[1] > first.get(each.meeting[0], each.meeting[1])
        )
        return named | frozenset(behind)

    def _limit_after(self, result: AttemptResult, failed: frozenset[UUID]) -> int | None:
        """Return how many may share a new batch of what is left; None where the batch stays one."""
        if failed:
            return NO_LIMIT
        if result.status_code == TOO_LARGE and len(self.members) > 1:
            return len(self.members) // 2
        return None

    def reason_to_skip(self) -> Skip | None:
        """Return why a member must not be sent, so that this batch can't be; None where all may."""
        reasons = (each.reason_to_skip() for each in self.members)
        return next((each for each in reasons if each is not None), None)


def without_batch(delivery: WebhookDelivery, limit: int) -> WebhookDelivery:
    """Return the delivery once its batch is dissolved: its next one is a new one, of so many at the most."""
    least = limit if delivery.batch_limit is None else min(limit, delivery.batch_limit)
    return delivery._replace(batch_id=None, batch_limit=least)


def failed_one(result: AttemptResult, event_id: UUID) -> AttemptResult:
    """Return the result for a member that the answer to its batch names as failed, or an earlier one of its meeting."""
    message = NAMED_AS_FAILED if event_id in result.failed_events else BEHIND_A_FAILED_ONE
    return result._replace(error_kind=ErrorKind.STATUS, error_message=message, failed_events=frozenset())


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it is stored."""

    id: UUID
    webhook_id: UUID
    #: The deliveries, in their order.
    members: tuple[UUID, ...]
    #: By what it is rendered at all of its attempts.
    rendering: Rendering
    created_at: datetime | None = None


def fixed_rendering(delivery: WebhookDelivery) -> Rendering | None:
    """Return by what a delivery is rendered; None where that is chosen with its first attempt, which is none yet.

    One that no release has stored counts as the usual, as it would go alone.
    """
    if not delivery.is_begun:
        return None
    return USUAL if delivery.rendering is None else (Rendering.read(delivery.rendering) or USUAL)


def begun(group: Group, batch_id: UUID, webhook: WebhookConfig) -> Batch:
    """Return the batch that a group becomes with its first attempt."""
    fixed = group.members[0].rendering
    return Batch(batch_id, webhook.id, group.ids, fixed if fixed is not None else Rendering.of(webhook))


def assembled(batch: Batch, claims: Mapping[UUID, Claim], contents: Mapping[UUID, EventFacts]) -> BatchClaim | None:
    """Return the claim of a batch out of those of its members; None where one is missing, which its lease ends."""
    if any(each not in claims for each in batch.members):
        return None
    members = tuple(_member(claims[each], contents[each]) for each in batch.members)
    return BatchClaim(**_fields_of(members[0]), id=batch.id, members=members, rendering=batch.rendering)


def alone_in_batch(claim: Claim, content: EventFacts, *, batch_id: UUID) -> BatchClaim:
    """Return the claim of a batch of that one delivery, of which nothing was sent."""
    member = _member(claim, content)
    return BatchClaim(**_fields_of(member), id=batch_id, members=(member,), rendering=Rendering.of(claim.webhook))


def _member(claim: Claim, content: EventFacts) -> Member:
    return Member(**_fields_of(claim), content=content)


def _fields_of(claim: Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in _CLAIM_FIELDS}


_CLAIM_FIELDS: Final = tuple(each.name for each in fields(Claim))


def is_missing_members(batch: Batch, *, left: Collection[UUID]) -> bool:
    """Tell whether a member has gone another way, so that what is left of it goes into new batches."""
    return any(each not in left for each in batch.members)
