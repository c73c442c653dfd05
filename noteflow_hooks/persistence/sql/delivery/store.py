"""The workers' half of the store, in PostgreSQL: every method one short transaction, none open during a POST."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from typing_extensions import override

from noteflow_hooks.domain.deliveries import (
    DISABLED,
    ERASED,
    INTERRUPTED,
    AttemptResult,
    Claim,
    DeliveryStatus,
    ErrorKind,
    Settlement,
    WebhookDelivery,
)
from noteflow_hooks.domain.health.circuit_breaker import is_notable
from noteflow_hooks.domain.health.scheduling import BURST, ENDPOINTS_PER_CLAIM, ROOM_POLL
from noteflow_hooks.domain.health.state import HealthRules
from noteflow_hooks.domain.ports.delivery_store import (
    EVENTS_PER_ROUND,
    Claimed,
    DeliveryStore,
    Dispatched,
    SchedulingSlot,
    Settled,
    ThrottledCount,
)
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql import health_statements
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery import claim_statements, dispatch_statements, statements
from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.delivery.endpoint_cache import EndpointCache
from noteflow_hooks.persistence.sql.delivery.health_keeper import HealthKeeper, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox
    from noteflow_hooks.domain.webhooks import WebhookConfig

log = logging.getLogger(__name__)

_DISPATCH: Final = DirectStatement.of(dispatch_statements.DISPATCH)
_DISPATCH_AND_CLAIM: Final = DirectStatement.of(dispatch_statements.DISPATCH_AND_CLAIM)
_CLAIM: Final = DirectStatement.of(claim_statements.CLAIM)
_FLOODED_TURNS: Final = DirectStatement.of(claim_statements.FLOODED_TURNS)
_SETTLE: Final = DirectStatement.of(statements.SETTLE)
#: How many columns come before what a statement tells beside its deliveries; the last one is the endpoint's version.
_NEEDED: Final = claim_statements.NEEDED_COLUMNS
_VERSION: Final = _NEEDED - 1

_AT_ONCE: Final = timedelta(0)
_DAMAGED: Final = "Damaged: its row in the database holds what it may not"
#: What an integer column holds at the most.
_MOST: Final = 2**31 - 1
#: How many events beside the named ones a round of dispatching takes at the least.
_OTHER_EVENTS: Final = 100


class SqlAlchemyDeliveryStore(DeliveryStore):
    """The workers' half of the store in PostgreSQL."""

    def __init__(self, engine: Engine, box: SecretBox, rules: HealthRules | None = None) -> None:
        """``box`` opens the endpoints' secrets; ``rules`` judge the endpoints' health."""
        self._engine = engine
        #: For statements that are a whole by themselves: a transaction would be two more round trips.
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._converter = WebhookConverter(box)
        self._rules = rules if rules is not None else HealthRules()
        self._direct = DirectStatements(engine)
        self._endpoints = EndpointCache(self._alone, self._converter)
        self._health = HealthKeeper(self._converter, self._rules)

    @override
    def dispatch(
        self, event_ids: Sequence[UUID], *, limit: int, claim: int = 0, lease_slack: timedelta = _AT_ONCE
    ) -> Dispatched:
        given = {
            "ids": list(event_ids),
            "others": max(_OTHER_EVENTS, EVENTS_PER_ROUND - len(event_ids)),
            "limit": limit,
            "burst": BURST,
            "disabled": DISABLED,
        }
        if not claim:
            [told] = self._direct.rows(_DISPATCH, given)
            return _dispatched(told)
        owner = {"claim": claim, "slack_s": lease_slack.total_seconds(), "concurrency": self._rules.concurrency}
        *rows, told = self._direct.rows(_DISPATCH_AND_CLAIM, given | owner)
        return _dispatched(told[_NEEDED:], self._claims(rows))

    @override
    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        rows = self._direct.rows(
            _CLAIM,
            {
                "ids": list(delivery_ids),
                "limit": limit,
                "slack_s": lease_slack.total_seconds(),
                "concurrency": self._rules.concurrency,
            },
        )
        held, passed_over, slots_due, slow_slots_due = rows[0][_NEEDED:]
        return Claimed(
            self._claims([row for row in rows if row[0] is not None]),
            throttled=held,
            passed_over=passed_over,
            slots_due=slots_due,
            slow_slots_due=slow_slots_due,
        )

    @override
    def claim_throttled(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        if not slow:
            taken = self._flooded_turns(limit, lease_slack)
            if taken or not taken.slots_due:
                return taken
        with self._engine.begin() as connection:
            turns = self._health.turns(connection, limit=limit, slow=slow)
            if not turns:
                return Claimed([], passed_over=True)
            rows = connection.execute(
                claim_statements.CLAIM_HELD,
                {
                    "webhook_ids": [each.webhook.id for each in turns],
                    "counts": [each.given for each in turns],
                    "slack_s": lease_slack.total_seconds(),
                },
            ).all()
            counts = Counter(row.webhook_id for row in rows)
            following = self._health.note_turns(connection, turns, counts, lease_slack=lease_slack)
        return Claimed(self._claims(rows), slots=following)

    def _flooded_turns(self, limit: int, lease_slack: timedelta) -> Claimed:
        *rows, told = self._direct.rows(
            _FLOODED_TURNS,
            {
                "endpoints": min(ENDPOINTS_PER_CLAIM, limit),
                "limit": limit,
                "concurrency": self._rules.concurrency,
                "slack_s": lease_slack.total_seconds(),
                "poll_s": ROOM_POLL.total_seconds(),
            },
        )
        waits, others = told[_NEEDED:]
        turns = [SchedulingSlot(max(_AT_ONCE, each), slow=False) for each in waits]
        return Claimed(self._claims(rows), slots_due=others, slots=turns)

    @override
    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        if not settlements:
            return Settled(frozenset())
        # What begins trouble is stored together with it. What ends it may be stored a moment before: an endpoint whose
        # health is behind the results is brought up to date with the next ones.
        notable = [self._is_notable(each) for each in settlements]
        if any(notable):
            with self._engine.begin() as connection:
                return self._settle(connection, settlements)
        rows = self._direct.rows(_SETTLE, self._given(settlements, notable))
        stored = {row[:2]: _Said(*row[2:]) for row in rows}
        if not any(each.looked_at for each in stored.values()):
            return Settled(frozenset(stored), slots=_turns(stored))
        with self._engine.begin() as connection:
            return self._judged(connection, settlements, stored)

    @override
    def now(self) -> datetime:
        with self._alone.connect() as connection:
            now: datetime = connection.execute(statements.NOW).scalar_one()
        return now

    @override
    def mark_slow(self, webhook_ids: Collection[UUID]) -> None:
        with self._engine.begin() as connection:
            self._health.mark_slow(connection, webhook_ids)

    @override
    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        with self._alone.connect() as connection:
            rows = connection.execute(statements.WAITS, {"ids": list(delivery_ids)})
            return {row.id: row.wait for row in rows}

    @override
    def reclaim_expired(self, *, limit: int) -> int:
        with self._engine.begin() as connection:
            rows = connection.execute(statements.EXPIRED, {"limit": limit}).all()
            return self._reclaim(connection, rows) if rows else 0

    def _reclaim(self, connection: Connection, rows: Sequence[Row[Any]]) -> int:
        """Settle what was interrupted; what can't be settled ends, or it would keep the others from it for ever."""
        try:
            with connection.begin_nested():
                self._settle(connection, [self._interrupted(row) for row in rows])
        except UnavailableError:
            raise
        except Exception:
            # The boundary of a batch, and below of a row: whatever is wrong with one must not hold up the rest.
            log.exception("%d deliveries could not be taken back together", len(rows))
            if len(rows) == 1:
                connection.execute(statements.ABANDON, {"id": rows[0].id, "message": _DAMAGED})
            else:
                for row in rows:
                    self._reclaim(connection, [row])
        return len(rows)

    @override
    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        with self._alone.connect() as connection:
            return list(connection.scalars(statements.UNDISPATCHED, {"age": older_than, "limit": limit}))

    @override
    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        with self._alone.connect() as connection:
            return list(connection.scalars(statements.DUE, {"age": overdue_by, "limit": limit}))

    @override
    def count_throttled(self, *, limit: int) -> ThrottledCount:
        with self._engine.begin() as connection:
            connection.execute(health_statements.FORGOTTEN)
            row = connection.execute(health_statements.HELD, {"limit": limit}).one()
        return ThrottledCount(quick=row.quick, slow=row.slow)

    def _settle(self, connection: Connection, settlements: Sequence[Settlement]) -> Settled:
        notable = [self._is_notable(each) for each in settlements]
        found = connection.execute(statements.SETTLE, self._given(settlements, notable))
        return self._judged(
            connection, settlements, {(row.id, row.claim_no): _Said(row.looked_at, row.turns) for row in found}
        )

    def _given(self, settlements: Sequence[Settlement], notable: Sequence[bool]) -> dict[str, str]:
        rows = [_as_row(each, notable=is_notable) for each, is_notable in zip(settlements, notable, strict=True)]
        return {"rows": json.dumps(rows), "erased": ERASED}

    def _judged(
        self, connection: Connection, settlements: Sequence[Settlement], stored: Mapping[tuple[UUID, int], _Said]
    ) -> Settled:
        # One of an endpoint's results that is looked at calls for all of them, in their order.
        notable = {key for key, said in stored.items() if said.looked_at}
        looked_at = {each.delivery.webhook_id for each in settlements if each.fencing_key in notable}
        kept = [each for each in settlements if each.fencing_key in stored and each.delivery.webhook_id in looked_at]
        verdict = self._health.judge(connection, kept) if kept else Verdict()
        return Settled(frozenset(stored), slots=[*_turns(stored), *verdict.turns], event_ids=verdict.event_ids)

    def _is_notable(self, settlement: Settlement) -> bool:
        return settlement.attempt is not None and is_notable(settlement.attempt, self._rules)

    def _claims(self, rows: Sequence[Sequence[Any]]) -> list[Claim]:
        webhooks = self._endpoints.read({row[1]: row[_VERSION] for row in rows})
        # What can't be read is left to its lease: it is taken back, a few times and then for good.
        return [_claim(row, webhooks[row[1]]) for row in rows if row[1] in webhooks]

    def _interrupted(self, row: Row[Any]) -> Settlement:
        delivery = self._converter.delivery_to_domain(row)
        # Nothing ran longer than its lease, however long ago that was.
        ended_at = min(row.moment, row.lease_expires_at)
        duration_ms = min(max(0, round((ended_at - row.claimed_at).total_seconds() * 1000)), _MOST)
        after = delivery.interrupted(now=row.moment, duration_ms=duration_ms)
        attempt = AttemptResult(
            started_at=row.claimed_at,
            duration_ms=duration_ms,
            error_kind=ErrorKind.INTERRUPTED,
            error_message=INTERRUPTED,
        )
        return Settlement(delivery=replace(after, next_attempt_at=None), attempt=attempt)


def _dispatched(told: Sequence[Any], claims: Sequence[Claim] = ()) -> Dispatched:
    delivery_ids, turns, throttled_slow, events, more = told
    return Dispatched(
        tuple(delivery_ids),
        events=events,
        more=more,
        throttled=turns,
        throttled_slow=throttled_slow,
        claims=tuple(claims),
    )


class _Said(NamedTuple):
    """What a stored result says of its endpoint: its health is to be looked at, and it has a turn now."""

    looked_at: bool
    turns: bool


def _turns(stored: Mapping[tuple[UUID, int], _Said]) -> list[SchedulingSlot]:
    """Return the turn that there is now, where there is one: it serves all endpoints that have one."""
    return [SchedulingSlot(_AT_ONCE, slow=False)] if any(each.turns for each in stored.values()) else []


def _claim(row: Sequence[Any], webhook: WebhookConfig) -> Claim:
    """Return what stands in a row of :data:`claim_statements.NEEDED_COLUMNS` columns, in their order."""
    delivery = WebhookDelivery(
        id=row[0],
        webhook_id=row[1],
        event_id=row[2],
        event_type=row[3],
        status=DeliveryStatus.SENDING,
        status_code=row[4],
        response_body=row[5],
        error_message=row[6],
        attempt_count=row[7],
        duration_ms=row[8],
        budget_used=row[9],
        interruptions=row[10],
        claim_no=row[11],
        lease_expires_at=row[15],
        created_at=row[16],
    )
    return Claim(delivery, webhook, payload=row[12].encode(), targeted=row[13], erased=row[14])


def _as_row(settlement: Settlement, *, notable: bool) -> dict[str, Any]:
    delivery = settlement.delivery
    return {
        "id": str(delivery.id),
        "claim_no": delivery.claim_no,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "response_body": delivery.response_body,
        "error_message": delivery.error_message,
        "attempt_count": delivery.attempt_count,
        "duration_ms": delivery.duration_ms,
        "budget_used": delivery.budget_used,
        "interruptions": delivery.interruptions,
        "wait_s": settlement.wait.total_seconds() if settlement.wait is not None else 0.0,
        "notable": notable,
        "attempt": _attempt(settlement.attempt),
    }


def _attempt(result: AttemptResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "started_at": result.started_at.isoformat(),
        "duration_ms": result.duration_ms,
        "status_code": result.status_code,
        "error_kind": result.error_kind,
        "error_message": result.error_message,
        "redialled": result.redialled,
    }
