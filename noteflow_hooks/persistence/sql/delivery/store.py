"""The workers' half of the store, in PostgreSQL: every method one short transaction, none open during a POST."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.scheduling import BURST, ENDPOINTS_PER_CLAIM, ROOM_POLL
from noteflow_hooks.domain.health.slots import SlotUse
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.ports.delivery_store import (
    EVENTS_PER_ROUND,
    Claimed,
    DeliveryStore,
    Dispatched,
    SchedulingSlot,
    Settled,
    ThrottledCount,
    joined,
)
from noteflow_hooks.domain.settling import interruption
from noteflow_hooks.domain.skipping import DISABLED, GONE_REASON
from noteflow_hooks.domain.whole_batches import WholeSuccess
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql import health_statements, meeting_orders, moves
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery import (
    claim_statements,
    dispatch_statements,
    lookup_statements,
    order_statements,
    settle_statements,
)
from noteflow_hooks.persistence.sql.delivery.batching import claim_alone, claim_batches
from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement, DirectStatements, DirectUsual
from noteflow_hooks.persistence.sql.delivery.endpoint_cache import EndpointCache
from noteflow_hooks.persistence.sql.delivery.fresh_batches import FreshBatches
from noteflow_hooks.persistence.sql.delivery.header_forms import share
from noteflow_hooks.persistence.sql.delivery.health_keeper import HealthChanges, HealthKeeper
from noteflow_hooks.persistence.sql.delivery.interruptions import tell_interrupted
from noteflow_hooks.persistence.sql.delivery.lock_patience import LockPatience
from noteflow_hooks.persistence.sql.delivery.order_keeper import OrderKeeper
from noteflow_hooks.persistence.sql.delivery.restart_patience import claimed_from
from noteflow_hooks.persistence.sql.delivery.rows import (
    ClaimReport,
    ClaimRow,
    DispatchReport,
    FloodedReport,
    HeaderForms,
    StoredResults,
    claims_and_report,
    ids_text,
    result_params,
    stored_results,
)
from noteflow_hooks.persistence.sql.delivery.verification_keeper import VerificationKeeper
from noteflow_hooks.persistence.sql.limits import MEETINGS_EXAMINED, MOVED_AT_ONCE, OTHER_EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.domain.deliveries import Claim, Settlement
    from noteflow_hooks.domain.health.news import HealthNews

log = logging.getLogger(__name__)

_CLAIM: Final = DirectStatement.of(claim_statements.CLAIM)
_CLAIM_FLOODED: Final = DirectStatement.of(claim_statements.CLAIM_FLOODED)
_SETTLE: Final = DirectUsual.of(settle_statements.SETTLE)

_AT_ONCE: Final = timedelta(0)
#: The slot that there is now, where there is one: it serves all endpoints that have one.
_SLOT_NOW: Final = (SchedulingSlot(_AT_ONCE, slow=False),)
_DAMAGED: Final = "Damaged: its row in the database holds what it may not"


class SqlAlchemyDeliveryStore(DeliveryStore):
    """The workers' half of the store in PostgreSQL."""

    #: How it dispatches, without claims and with them; and whether it looks at the events' traces.
    dispatching: ClassVar = DirectUsual.of(dispatch_statements.DISPATCH)
    dispatching_and_claiming: ClassVar = DirectUsual.of(dispatch_statements.DISPATCH_AND_CLAIM)
    is_traced: ClassVar = False

    def __init__(
        self,
        engine: Engine,
        box: SecretBox,
        rules: HealthRules | None = None,
        *,
        sweep_every: timedelta = timedelta(seconds=5),
    ) -> None:
        """``box`` opens the endpoints' secrets; by ``rules`` their health changes.

        ``sweep_every`` is how often expired leases are reclaimed.
        """
        self._engine = engine
        #: For statements that are a whole by themselves: a transaction would be two more round trips.
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._converter = WebhookConverter(box)
        self._rules = rules if rules is not None else HealthRules()
        self._direct = DirectStatements(engine)
        self._forms = HeaderForms()
        self._endpoints = EndpointCache(self._alone, self._converter)
        self._fresh = FreshBatches(engine, self._direct, self._endpoints, forms=self._forms, rules=self._rules)
        self._health = HealthKeeper(self._converter, self._rules)
        self._verifications = VerificationKeeper(self._converter)
        self._patience = LockPatience(engine, period=sweep_every)

    @override
    def dispatch(
        self,
        event_ids: Sequence[UUID],
        *,
        limit: int,
        events: int = EVENTS_PER_ROUND,
        claim: int = 0,
        batches: bool = False,
        lease_slack: timedelta = _AT_ONCE,
    ) -> Dispatched:
        params: dict[str, Any] = {
            "ids": list(event_ids),
            "events": events,
            # Of a small round what nobody names gets the share that is left.
            "others": OTHER_EVENTS_PER_ROUND if events >= EVENTS_PER_ROUND else 0,
            "limit": limit,
            "burst": BURST,
            "disabled": DISABLED.message,
            "gone": GONE_REASON,
        }
        fresh: Sequence[Claim] = ()
        if not claim:
            [row] = self._direct.rows_of_new(self.dispatching, params)
            claims, report = list[ClaimRow](), DispatchReport._make(row)
        elif batches:
            params |= {"claim": claim} | self._lease(lease_slack)
            claims, report, fresh = self._fresh.dispatch(params, traced=self.is_traced)
        else:
            params |= {"claim": claim} | self._lease(lease_slack)
            rows = self._direct.rows_of_new(self.dispatching_and_claiming, params)
            claims, report = claims_and_report(rows, DispatchReport._make)
        return Dispatched(
            tuple(report.delivery_ids),
            events=report.events,
            more=report.more,
            throttled=report.throttled,
            throttled_slow=report.throttled_slow,
            claims=(*self._endpoints.claims(claims), *fresh),
            batched=report.batched,
            traceparents=report.traceparents,
        )

    @override
    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        params = {"ids": list(delivery_ids), "limit": limit, **self._lease(lease_slack)}
        claims, report = claims_and_report(self._direct.rows(_CLAIM, params), ClaimReport._make)
        return Claimed(
            self._endpoints.claims(claims),
            throttled=report.throttled,
            passed_over=report.passed_over,
            slots_due=report.slots_due,
            slow_slots_due=report.slow_slots_due,
        )

    @override
    def claim_throttled(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        if not slow:
            taken = self._claim_flooded(limit, lease_slack)
            if taken or not taken.slots_due:
                return taken
        with self._engine.begin() as connection:
            slots = self._health.slots(connection, limit=limit, slow=slow)
            if not slots:
                return Claimed([], passed_over=True)
            # Of one that is not active everything is skipped, in whatever order.
            ordered = [each for each in slots if each.webhook.is_active and each.webhook.options.is_ordered]
            found = OrderKeeper(connection, ordered, lease_slack=lease_slack).claim()
            alone = [each for each in slots if not each.is_batched and each not in ordered]
            rows = [*found.rows, *claim_alone(connection, alone, lease_slack=lease_slack)]
            used = {key: SlotUse(count) for key, count in Counter(row.webhook_id for row in rows).items()}
            batched = [
                claim_batches(connection, each, lease_slack=lease_slack, among=found.offered.get(each.webhook.id))
                for each in slots
                if each.is_batched
            ]
            used |= {each.webhook_id: each.use for each in batched}
            used |= {key: used.get(key, SlotUse()).again_at(moment) for key, moment in found.again.items()}
            following = self._health.note_slots(connection, slots, used, lease_slack=lease_slack)
        claims = self._endpoints.claims(rows) if rows else []
        for each in batched:
            claims += each.assembled(self._endpoints.claims(each.rows))
        return Claimed(claims, slots=following, awaits_dispatch=found.awaits_dispatch)

    def _claim_flooded(self, limit: int, lease_slack: timedelta) -> Claimed:
        params = {
            "endpoints": min(ENDPOINTS_PER_CLAIM, limit),
            "limit": limit,
            "poll_s": ROOM_POLL.total_seconds(),
            **self._lease(lease_slack),
        }
        claims, report = claims_and_report(self._direct.rows(_CLAIM_FLOODED, params), FloodedReport._make)
        slots = [SchedulingSlot(max(_AT_ONCE, each), slow=False) for each in report.waits]
        return Claimed(self._endpoints.claims(claims), slots_due=report.slots_due, slots=slots)

    def _lease(self, slack: timedelta) -> dict[str, float]:
        """Return what the statements that claim take of the lease and of the cap."""
        return {"slack_s": slack.total_seconds(), "concurrency": self._rules.concurrency}

    @override
    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        if not settlements:
            return Settled(frozenset())
        settled = self._stored(settlements)
        if self._forms.due:
            # Once the results are safe: whatever comes of this, they are no worse for it.
            share(self._forms, self._alone)
        return settled

    def _stored(self, settlements: Sequence[Settlement]) -> Settled:
        if wholes := [each for each in settlements if isinstance(each, WholeSuccess)]:
            singly = [each for each in settlements if not isinstance(each, WholeSuccess)]
            return joined([self._fresh.settle(wholes, self._examined), *([self._stored(singly)] if singly else ())])
        failed = [each for each in settlements if each.filter_error is not None]
        if failed:
            return self._settle_with_errors(failed, [each for each in settlements if each.filter_error is None])
        is_batched = any(each.batch_id is not None for each in settlements)
        # A result that changes the health of an endpoint that was well is stored together with that change. Otherwise
        # the results may be stored a moment before: health that is behind them is brought up to date with the next.
        notable = [each.is_notable(self._rules.slow_after) for each in settlements]
        params = result_params(zip(settlements, notable, strict=True), self._forms)
        if any(each.delivery.event_type == VERIFICATION for each in settlements):
            with self._engine.begin() as connection:
                return self._settle_answers(connection, settlements, params)
        if is_batched or any(notable) or _released_by(settlements):
            with self._engine.begin() as connection:
                return self._settle(connection, settlements, params)
        stored = stored_results(self._direct.rows_of_new(_SETTLE, params))
        if not stored.examined:
            return Settled(stored.fencing_keys, slots=_SLOT_NOW if stored.has_slot else ())
        with self._engine.begin() as connection:
            return self._examined(connection, settlements, stored)

    def _settle_with_errors(self, failed: Sequence[Settlement], others: Sequence[Settlement]) -> Settled:
        """Store those on which filters have failed together with their count, and the others as ever."""
        rest = self._stored(others) if others else Settled(frozenset())
        with self._engine.begin() as connection:
            # Before the deliveries: what follows of them may lock some of these, in no order.
            self._health.lock(connection, {each.delivery.webhook_id for each in failed})
            stored = self._settle(connection, failed, result_params(((each, False) for each in failed), self._forms))
            self._health.note_filter_errors(
                connection, [each for each in failed if each.fencing_key in stored.fencing_keys]
            )
        return joined([rest, stored])

    def _settle_answers(
        self, connection: Connection, settlements: Sequence[Settlement], params: Mapping[str, str]
    ) -> Settled:
        """Settle a group in which endpoints may have given their challenges back."""
        endpoints = self._verifications.lock(connection, settlements)
        settled = self._settle(connection, settlements, params)
        slots = self._verifications.apply(connection, endpoints, settlements, kept=settled.fencing_keys)
        return replace(settled, slots=[*settled.slots, *slots])

    def _settle(self, connection: Connection, settlements: Sequence[Settlement], params: Mapping[str, str]) -> Settled:
        if any(each.batch_id is not None for each in settlements):
            return self._settle_batches(connection, settlements, params)
        stored = stored_results(connection.execute(settle_statements.SETTLE.careful, params))
        return self._examined(connection, settlements, stored)

    def _settle_batches(
        self, connection: Connection, settlements: Sequence[Settlement], params: Mapping[str, str]
    ) -> Settled:
        """Store results of which some are of batches; those that are sent again have their endpoints' slots."""
        connection.execute(settle_statements.LOCK_SETTLED, {"ids": ids_text(each.delivery.id for each in settlements)})
        stored = stored_results(connection.execute(settle_statements.SETTLE_BATCHES.careful, params))
        waiting = ids_text(each.delivery.id for each in settlements if each.waits_for_slot)
        again = connection.execute(settle_statements.SCHEDULE_BATCHES, {"ids": waiting}).all() if waiting else ()
        settled = self._examined(connection, settlements, stored)
        return replace(settled, slots=[*settled.slots, *(SchedulingSlot(row.wait, slow=row.slow) for row in again)])

    def _examined(self, connection: Connection, settlements: Sequence[Settlement], stored: StoredResults) -> Settled:
        """Bring the health of those endpoints up to date that are to be examined."""
        keys = stored.fencing_keys
        # One of an endpoint's results that calls for it has all of them applied, in their order.
        endpoints = {each.delivery.webhook_id for each in settlements if each.fencing_key in stored.examined}
        kept = [each for each in settlements if each.fencing_key in keys and each.delivery.webhook_id in endpoints]
        released = _released_by(each for each in settlements if each.fencing_key in keys)
        # What a challenge has shown changes its endpoint's health, too.
        verified = [each.delivery.webhook_id for each in settlements if each.verifies]
        if verified or (released and kept):
            # All of them at once, in the order of their ids.
            connection.execute(meeting_orders.LOCK, {"webhook_ids": [*endpoints, *released, *verified]})
        changes = self._health.apply(connection, kept) if kept else HealthChanges()
        slots = [*(_SLOT_NOW if stored.has_slot else ()), *changes.slots]
        if released:
            rows = connection.execute(meeting_orders.WAKE, {"webhook_ids": released})
            slots += [SchedulingSlot(_AT_ONCE, slow=row.slow) for row in rows]
        return Settled(keys, slots=slots, event_ids=changes.event_ids, news=changes.news)

    @override
    def now(self) -> datetime:
        with self._alone.connect() as connection:
            now: datetime = connection.execute(lookup_statements.NOW).scalar_one()
        return now

    @override
    def mark_slow(self, webhook_ids: Collection[UUID]) -> Sequence[HealthNews]:
        with self._engine.begin() as connection:
            return self._health.mark_slow(connection, webhook_ids)

    @override
    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        with self._alone.connect() as connection:
            rows = connection.execute(lookup_statements.WAITS, {"ids": list(delivery_ids)})
            return {row.id: row.wait for row in rows}

    @override
    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        with self._alone.connect() as connection:
            return list(connection.scalars(lookup_statements.UNDISPATCHED, {"age": older_than, "limit": limit}))

    @override
    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        with self._alone.connect() as connection:
            return list(connection.scalars(lookup_statements.DUE, {"age": overdue_by, "limit": limit}))

    @override
    def count_throttled(self, *, limit: int) -> ThrottledCount:
        with self._engine.begin() as connection:
            connection.execute(order_statements.RELEASE_LOST, {"limit": MEETINGS_EXAMINED})
            connection.execute(health_statements.GIVE_MISSING_SLOTS)
            row = connection.execute(health_statements.COUNT_THROTTLED, {"limit": limit}).one()
        return ThrottledCount(quick=row.quick, slow=row.slow)

    @override
    def reclaim_expired(self, *, limit: int) -> int:
        with self._engine.begin() as connection:
            if not self._patience.may_reclaim(connection):
                return 0
            connection.execute(moves.QUEUE_LEFT, {"limit": MOVED_AT_ONCE})
            params = {"limit": limit, "claimed_from": claimed_from(connection)}
            rows = self._with_batches(connection, connection.execute(settle_statements.EXPIRED, params).all())
            reclaimed = self._reclaim(connection, rows) if rows else 0
            connection.execute(moves.FILE_LEFT, {"limit": MOVED_AT_ONCE})
            return reclaimed

    @staticmethod
    def _with_batches(connection: Connection, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
        """Return the rows with the other members of their batches."""
        batch_ids = {row.batch_id for row in rows if row.batch_id is not None}
        if not batch_ids:
            return rows
        params = {"batch_ids": list(batch_ids), "ids": [row.id for row in rows]}
        return [*rows, *connection.execute(settle_statements.EXPIRED_TOO, params)]

    def _reclaim(self, connection: Connection, rows: Sequence[Row[Any]]) -> int:
        """Settle what was interrupted; what can't be settled ends, or it would keep the others from it for ever."""
        try:
            with connection.begin_nested():
                cut_off = [self._interruption(row) for row in rows]
                params = result_params(((each, False) for each in cut_off), self._forms)
                settled = self._settle(connection, cut_off, params)
            tell_interrupted(connection, cut_off, settled.fencing_keys, now=rows[0].moment)
        except UnavailableError:
            raise
        except Exception:
            # The boundary of a batch, and below of a row: whatever is wrong with one must not hold up the rest.
            log.exception("%d deliveries could not be reclaimed together", len(rows))
            if len(rows) == 1:
                connection.execute(settle_statements.ABANDON, {"id": rows[0].id, "message": _DAMAGED})
            else:
                for row in rows:
                    self._reclaim(connection, [row])
        return len(rows)

    def _interruption(self, row: Row[Any]) -> Settlement:
        delivery = self._converter.delivery_to_domain(row)
        return interruption(delivery, claimed_at=row.claimed_at, now=row.moment)


def _released_by(settlements: Iterable[Settlement]) -> list[UUID]:
    """Return the endpoints at which something has ended that others of its meeting may wait for."""
    ended = (each.delivery for each in settlements if each.delivery.status is not DeliveryStatus.PENDING)
    return list({each.webhook_id for each in ended if each.ordered_meeting is not None})
