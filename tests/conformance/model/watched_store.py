"""A delivery store under watch: each call is checked against the ledger and the rows, and then put down in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND
from noteflow_hooks.domain.whole_batches import WholeSuccess
from tests.conformance.model.batch_checks import check_batches, singly
from tests.conformance.model.claim_gates import cap, check_claim, check_endpoint
from tests.conformance.model.delivery_tracks import Span, Track
from tests.conformance.model.rows import Shown, keeps_back, rate_of, shown
from tests.conformance.model.world import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.health.news import HealthNews
    from noteflow_hooks.domain.ports.delivery_store import Claimed, Dispatched, Settled, ThrottledCount
    from tests.conformance.model.ledger import Ledger
    from tests.conformance.model.rows import Opened, Rows

#: With so many places every endpoint's share is more than it may have under way.
PLENTY: Final = 100
#: What one endpoint gets of a round of dispatching before the rest is held, while the machine runs.
BURST: Final = 3

Answer = TypeVar("Answer")


class WatchedStore:
    """See :class:`noteflow_hooks.domain.ports.delivery_store.DeliveryStore`."""

    def __init__(self, opened: Opened, ledger: Ledger) -> None:
        """The store judges by the ledger's rules."""
        self._inner = opened.world.ruled(ledger.rules)
        self._opened = opened
        self._ledger = ledger

    def now(self) -> datetime:
        """Pass it on."""
        return self._inner.now()

    def dispatch(
        self,
        event_ids: Sequence[UUID],
        *,
        limit: int,
        events: int = EVENTS_PER_ROUND,
        claim: int = 0,
        batches: bool = False,
        lease_slack: timedelta = SLACK,
    ) -> Dispatched:
        """Check that exactly the endpoints that match get deliveries, held where their turn is to come."""
        before, made, span = self._call(
            lambda: self._inner.dispatch(
                event_ids, limit=limit, events=events, claim=claim, batches=batches, lease_slack=lease_slack
            )
        )
        after = self._opened.read()
        self._ledger.dispatched(before, after, span)
        new = [after.deliveries[each] for each in after.deliveries.keys() - before.deliveries.keys()]
        assert len(new) <= limit
        assert set(made.delivery_ids) == {each.id for each in new if each.status == "pending" and not each.held}
        assert {each.delivery.id for each in singly(made.claims)} == {
            each.id for each in new if each.status == "sending"
        }
        assert batches or not any(isinstance(each, BatchClaim) for each in made.claims)
        waiting = [{each.id for each in rows.events.values() if each.dispatched_at is None} for rows in (before, after)]
        assert made.events == len(waiting[0]) - len(waiting[1])
        assert made.more or not waiting[1], "events are left and nobody says so"
        healths = [after.health[each.webhook_id] for each in new if each.held]
        lanes = {each.slow_since is not None for each in healths if each.turn_at and each.turn_at <= span.earliest}
        assert made.throttled or False not in lanes
        assert made.throttled_slow or True not in lanes
        for webhook_id in {each.webhook_id for each in new}:
            own = [each for each in new if each.webhook_id == webhook_id and each.batch_id is None]
            self._check_flood(webhook_id, own, before)
        self._check_owned(made, before, after, claim=claim)
        self._claimed(made.claims, before, span, lease_slack, by_turn=False, slow=False)
        return made

    def _check_flood(self, webhook_id: UUID, new: Sequence[Any], before: Rows) -> None:
        own = [each for each in new if not each.forced]
        held = sum(each.held for each in own)
        free = sum(each.status in {"pending", "sending"} for each in own) - held
        targeted = sum(self._ledger.events[each.event_id].target is not None for each in own)
        assert free - targeted <= (0 if before.is_throttled(webhook_id) else BURST), (
            "a flood, or past the endpoint's gate"
        )
        assert before.is_throttled(webhook_id) or len(new) > BURST or not held, "held without a reason"

    def _check_owned(self, made: Dispatched, before: Rows, after: Rows, *, claim: int) -> None:
        assert len(made.claims) <= claim
        if len(made.claims) + len(made.delivery_ids) > claim:
            return
        for webhook_id in {after.deliveries[each].webhook_id for each in made.delivery_ids}:
            full = len(after.of(webhook_id, "sending")) >= cap(before, webhook_id, self._ledger.rules)
            assert full, "left to others without a reason"

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        """Check that only what is free goes, and that what is due and does not go is held for a reason."""
        before, claimed, span = self._call(
            lambda: self._inner.claim(delivery_ids, limit=limit, lease_slack=lease_slack)
        )
        self._claimed(claimed.claims, before, span, lease_slack, by_turn=False, slow=False)
        assert len(claimed) + claimed.throttled <= limit
        after = self._opened.read()
        free = [each for each in before.deliveries.values() if each.status == "pending" and not each.held]
        held = [each for each in free if after.deliveries[each.id].held]
        assert claimed.throttled == len(held)
        left = [each for each in free if each.next_attempt_at <= span.earliest and after.deliveries[each.id] == each]
        assert not left or len(claimed) + claimed.throttled == limit, "what is due was left"
        for webhook_id in {each.webhook_id for each in held}:
            full = len(after.of(webhook_id, "sending")) >= cap(before, webhook_id, self._ledger.rules)
            assert before.is_active(webhook_id)
            assert before.is_throttled(webhook_id) or full, "held without a reason"
        return claimed

    def claim_throttled(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        """Check that turns let through what they may, and all of it."""
        before, claimed, span = self._call(
            lambda: self._inner.claim_throttled(limit=limit, slow=slow, lease_slack=lease_slack)
        )
        assert all(before.deliveries[each.delivery.id].held for each in singly(claimed))
        assert len(claimed) <= limit
        self._claimed(claimed.claims, before, span, lease_slack, by_turn=True, slow=slow)
        if limit >= PLENTY:
            taken = Counter(each.webhook.id for each in claimed)
            left = {each for each in before.webhooks if taken[each] < self._owed(before, each, slow=slow)}
            # Merely flooded endpoints may be served alone: then the call has taken something, and the next is others'.
            assert not left or (claimed.claims and claimed.slots_due), "a turn left what it could take"
            self._check_next_turn(left, before)
        return claimed

    def _check_next_turn(self, left: Collection[UUID], before: Rows) -> None:
        """Check that those who got nothing have waited for longer than all who were served."""
        after = self._opened.read()
        for webhook_id in left:
            assert not before.is_merely_flooded(webhook_id), "a turn left what it could take"
            turn_at = after.health[webhook_id].turn_at
            assert turn_at == before.health[webhook_id].turn_at, "a turn is lost"
            flooded = [each for each in after.health.values() if before.is_merely_flooded(each.webhook_id)]
            assert all(each.turn_at is None or each.turn_at > turn_at for each in flooded), "a turn is put off again"

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Check that exactly the results of those who still hold their claim count."""
        before, settled, span = self._call(lambda: self._inner.settle(settlements))
        settlements, settled = self._singly(settlements, settled, before)
        live, told = self._ledger.settled(settlements, before, span)
        assert settled.fencing_keys == live, "a stale result counts, or a fresh one doesn't"
        self._check_answered(self._ledger.answered(settlements, live, before), before)
        assert self._ledger.told_of(before, self._opened.read(), told) == set(settled.event_ids)
        return settled

    def _singly(
        self, settlements: Sequence[Settlement], settled: Settled, before: Rows
    ) -> tuple[Sequence[Settlement], Settled]:
        """Return one settlement for each delivery, and which count: a whole batch's has the key of its first one."""
        found: list[Settlement] = []
        keys = set(settled.fencing_keys)
        for each in settlements:
            if not isinstance(each, WholeSuccess):
                found.append(each)
                continue
            rows = [before.deliveries[UUID(key)] for key in each.together]
            own = [
                Settlement(
                    each.delivery._replace(id=row.id, event_id=row.event_id, event_type=row.event_type),
                    attempt=each.attempt,
                    batch_id=each.batch_id,
                )
                for row in rows
            ]
            found += own
            if each.fencing_key in keys:
                keys |= {one.fencing_key for one in own}
        return found, replace(settled, fencing_keys=frozenset(keys))

    def _check_answered(self, answered: Collection[UUID], before: Rows) -> None:
        after = self._opened.read()
        for webhook_id, webhook in before.webhooks.items():
            found = after.webhooks[webhook_id]
            if webhook_id in answered:
                assert shown(found) == Shown(is_verified=True, pending_url=None, asking=None), "not verified"
                assert found.url == (shown(webhook).pending_url or webhook.url), "it has not moved"
            else:
                assert (shown(found), found.url) == (shown(webhook), webhook.url), "verified by no answer of its own"

    def mark_slow(self, webhook_ids: Collection[UUID]) -> Sequence[HealthNews]:
        """Check that they are in the slow lane from now on."""
        before = self._opened.read()
        news = self._inner.mark_slow(webhook_ids)
        after = self._opened.read()
        assert all(after.health[each].slow_since is not None for each in webhook_ids)
        known = {key for key, health in before.health.items() if health.slow_since is not None}
        assert {each.webhook_id for each in news} == set(webhook_ids) - known
        return news

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Check that only what is pending, free and early has a wait."""
        before, waits, span = self._call(lambda: self._inner.waits(delivery_ids))
        free = _free(before, delivery_ids)
        assert waits.keys() == {each.id for each in free if each.next_attempt_at > span.latest}
        return waits

    def reclaim_expired(self, *, limit: int) -> int:
        """Check that what is held past its lease is taken, and nothing else."""
        before, count, span = self._call(lambda: self._inner.reclaim_expired(limit=limit))
        after = self._opened.read()
        sending = [each for each in before.deliveries.values() if each.status == "sending"]
        taken = [each for each in sending if after.deliveries[each.id].status != "sending"]
        assert count == len(taken)
        assert all(each.lease_expires_at <= span.latest for each in taken), "taken back within its lease"
        expired = [each for each in sending if each.lease_expires_at <= span.earliest]
        assert count >= min(limit, len(expired)), "held past its lease"
        self._ledger.told_of(before, after, self._ledger.reclaimed([each.id for each in taken], before, span))
        return count

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Pass it on: rounds of dispatching are checked to leave nothing."""
        return self._inner.undispatched(older_than=older_than, limit=limit)

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Check that nothing is overlooked that has waited for so long."""
        before, due, span = self._call(lambda: self._inner.due(overdue_by=overdue_by, limit=limit))
        free = _free(before, before.deliveries)
        surely = {each.id for each in free if each.next_attempt_at + overdue_by <= span.earliest}
        assert set(due) >= surely or len(due) == limit
        assert set(due) <= {each.id for each in free if each.next_attempt_at + overdue_by <= span.latest}
        return due

    def count_throttled(self, *, limit: int) -> ThrottledCount:
        """Check that the held ones whose turn it is are counted, by lane."""
        before, held, span = self._call(lambda: self._inner.count_throttled(limit=limit))
        turning = [each for each in before.health.values() if each.turn_at and each.turn_at <= span.earliest]
        for slow, count in ((False, held.quick), (True, held.slow)):
            own = [each.webhook_id for each in turning if (each.slow_since is not None) == slow]
            assert count >= min(limit, sum(len(before.held(each)) for each in own)), "a turn is overlooked"
        return held

    def _call(self, call: Callable[[], Answer]) -> tuple[Rows, Answer, Span]:
        """Return the rows before, the answer, and when it was given."""
        before = self._opened.read()
        began = self._opened.now()
        return before, call(), Span(began, self._opened.now())

    def _claimed(
        self, claims: Sequence[Claim], before: Rows, span: Span, slack: timedelta, *, by_turn: bool, slow: bool
    ) -> None:
        going: dict[UUID, list[Track]] = {}
        check_batches(claims, ledger=self._ledger, before=before)
        claims = list(singly(claims))
        for each in claims:
            track = self._ledger.tracks[each.delivery.id]
            if before.is_active(track.webhook_id) and not track.forced:
                going.setdefault(track.webhook_id, []).append(track)
        for each in claims:
            track = self._ledger.tracks[each.delivery.id]
            check_claim(each, track, ledger=self._ledger, before=before, span=span, slack=slack)
            if by_turn and before.is_active(track.webhook_id) and before.webhooks[track.webhook_id].ordering != "none":
                assert not before.earlier(track.webhook_id, track.event_id), "sent before an earlier one of its meeting"
        for webhook_id, tracks in going.items():
            check_endpoint(
                webhook_id, tracks, ledger=self._ledger, before=before, span=span, by_turn=by_turn, slow=slow
            )

    def _owed(self, before: Rows, webhook_id: UUID, *, slow: bool) -> int:
        """Return how many a turn must take of an endpoint, while the whole of its room is given to it."""
        webhook, health = before.webhooks[webhook_id], before.health[webhook_id]
        is_due = health.turn_at is not None and health.turn_at <= before.now and (health.slow_since is not None) == slow
        if not is_due or keeps_back(webhook) or rate_of(webhook) is not None:
            return 0
        if health.open_until is not None:
            return 0
        room = cap(before, webhook_id, self._ledger.rules) - before.posts(webhook_id)
        if webhook.ordering != "none":
            # What goes is what nothing earlier of its meeting holds.
            heads = [each for each in before.held(webhook_id) if not before.earlier(webhook_id, each.event_id)]
            return 0 if before.goes_in_batches(webhook_id) else min(len(heads), room, 1)
        if not before.goes_in_batches(webhook_id):
            return min(len(before.held(webhook_id)), room)
        # What waits for others, or for its batch's next attempt, may wait; all else goes, in one batch at least.
        wait = timedelta(milliseconds=webhook.batch_wait_ms)
        due = [
            each for each in before.held(webhook_id) if max(each.next_attempt_at, each.created_at + wait) <= before.now
        ]
        return min(len(due), room, 1)


def _free(rows: Rows, delivery_ids: Iterable[UUID]) -> list[Any]:
    found = [rows.deliveries[each] for each in delivery_ids]
    return [each for each in found if each.status == "pending" and not each.held]
