"""What goes once it is old, in PostgreSQL. Each statement is a transaction of its own.

It walks an index from a cursor on and looks at a bounded number of rows, whatever becomes of them: old events that
are not settled, of which a paused endpoint may have millions, are gone through once a round and not at each call.
Rows are locked with ``SKIP LOCKED``: nobody is waited for, and who waits finds the rows erased or gone. Children go
before their parents, so that no foreign key has anything left to do.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import text
from typing_extensions import override

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.domain.ports.maintenance import PurgeBatch, RetentionStore
from noteflow_hooks.persistence.sql.maintenance.rollup_statements import REMOVE_HOURS, REMOVE_MINUTES
from noteflow_hooks.persistence.sql.maintenance.rollups import COUNTED_FOR, SqlAlchemyStatsKeeper
from noteflow_hooks.persistence.sql.ordered_ids import first_id

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.engine import Engine

#: The statuses of a delivery that waits or is under way; whatever has one stays.
_IN_HAND: Final = f"({', '.join(repr(each.value) for each in DeliveryStatus if each not in FINAL_STATUSES)})"
#: Where a dead delivery holds later ones of its meeting.
_HOLDS: Final = """
    delivery.status = 'dead' AND delivery.ordered_meeting IS NOT NULL AND EXISTS (
        SELECT FROM noteflow.meeting_orders AS kept
        JOIN noteflow.webhook_configs AS config ON config.id = kept.webhook_id
        WHERE kept.stopped_by = delivery.id AND config.ordering <> 'none' AND config.on_dead = 'stop'
          AND EXISTS (
              SELECT FROM noteflow.delivery_queue AS queued
              WHERE queued.webhook_id = kept.webhook_id AND queued.ordered_meeting = kept.meeting_id
          )
    )
"""
_MILLISECOND_S: Final = 0.001
_DAY: Final = timedelta(days=1)
_BEGINNING: Final = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


def _purge(
    table: str, *, moment: str, where: str, then: str, reached: str = "examined", columns: str = "id"
) -> TextClause:
    """Return the statement that finds rows by an index, and then does what they call for.

    ``then`` is common table expressions over ``examined``, of which ``done`` returns a row for each that is counted.
    ``reached`` names the rows that the call has come to. How many rows a part has, the planner can hardly know: so each
    row is looked up from a LATERAL subquery or by an array, and nothing is left for it to choose.
    """
    return text(f"""
WITH examined AS MATERIALIZED (
    SELECT {columns}, {moment} AS moment FROM noteflow.{table}
    WHERE {where} AND {moment} <= now() - CAST(:age AS interval) AND ({moment}, id) > (:moment, :id)
    ORDER BY {moment}, id
    LIMIT :limit
), {then}
SELECT report.rows, last.moment, last.id
FROM (SELECT count(*) AS rows FROM done) AS report
LEFT JOIN (SELECT moment, id FROM {reached} ORDER BY moment DESC, id DESC LIMIT 1) AS last
    ON (SELECT count(*) FROM examined) = :limit OR (SELECT count(*) FROM {reached}) < (SELECT count(*) FROM examined)
""")  # noqa: S608 - put together from constants of this file


#: What the roll-ups have not counted is left: by its id, which is of the time when it was made. Ids beyond a day are
#: no times.
_COUNTED_ATTEMPT: Final = "NOT (attempt.id >= :uncounted AND attempt.id < :beyond)"
_COUNTED_DELIVERY: Final = f"""
    (delivery.settled_at IS NULL OR delivery.settled_at < :counted_to) AND NOT EXISTS (
        SELECT FROM noteflow.webhook_attempts AS attempt
        WHERE attempt.delivery_id = delivery.id AND NOT {_COUNTED_ATTEMPT}
    )
"""


def _purge_events(where: str, *, then: str, event: str = "true", delivery: str = "true") -> TextClause:
    """Return the statement that finds settled events; ``then`` is about ``whole``, the events, and ``own`` below them.

    Those that are not ``event``, or one of whose deliveries is not ``delivery``, are left out.

    ``own`` has all their deliveries. Both are locked: an event is left out where somebody else has locked one of its
    deliveries, or sends one again at this moment. A call is cut where the deliveries come to the limit; one event with
    more of them than that is taken whole.
    """
    return _purge(
        "webhook_events",
        moment="created_at",
        where=where,
        columns="id, payload_erased_at",
        reached="reached",
        then=f"""counted AS MATERIALIZED (
    SELECT examined.*, own.total, own.settled,
           sum(own.total) OVER (ORDER BY examined.moment, examined.id) - own.total AS before
    FROM examined CROSS JOIN LATERAL (
        SELECT count(*) AS total,
               count(*) FILTER (WHERE status IN {_IN_HAND}) = 0 AND NOT coalesce(bool_or({_HOLDS}), false) AS settled
        FROM noteflow.webhook_deliveries AS delivery WHERE event_id = examined.id
    ) AS own
), reached AS MATERIALIZED (
    SELECT * FROM counted WHERE before < :limit
), chosen AS MATERIALIZED (
    SELECT event.id, reached.total FROM reached CROSS JOIN LATERAL (
        SELECT id FROM noteflow.webhook_events
        WHERE id = reached.id AND dispatched_at IS NOT NULL AND {event}
          AND payload_erased_at IS NOT DISTINCT FROM reached.payload_erased_at
        FOR UPDATE SKIP LOCKED
    ) AS event
    WHERE reached.settled
), whole AS MATERIALIZED (
    SELECT chosen.id, locked.ids FROM chosen CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{{}}') AS ids FROM (
            SELECT id FROM noteflow.webhook_deliveries AS delivery
            WHERE event_id = chosen.id AND status NOT IN {_IN_HAND} AND {delivery}
            FOR UPDATE SKIP LOCKED
        ) AS own
    ) AS locked
    WHERE cardinality(locked.ids) = chosen.total
), own AS MATERIALIZED (
    SELECT unnest(ids) AS id FROM whole
), {then}""",  # noqa: S608 - put together from constants of this file
    )


_ERASE_PAYLOADS: Final = _purge_events(
    "payload_erased_at IS NULL",
    then="""attempts AS (
    UPDATE noteflow.webhook_attempts SET response_body = NULL, response_headers = NULL
    WHERE delivery_id = ANY(ARRAY(SELECT id FROM own)) AND num_nonnulls(response_body, response_headers) > 0
), deliveries AS (
    UPDATE noteflow.webhook_deliveries SET response_body = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM own)) AND response_body IS NOT NULL
), done AS (
    UPDATE noteflow.webhook_events SET payload = '{}', payload_erased_at = now()
    WHERE id = ANY(ARRAY(SELECT id FROM whole))
    RETURNING id
)""",
)

_REMOVE_EVENTS: Final = _purge_events(
    "payload_erased_at IS NOT NULL",
    event="created_at < :counted_to",
    delivery=_COUNTED_DELIVERY,
    then="""attempts AS (
    DELETE FROM noteflow.webhook_attempts WHERE delivery_id = ANY(ARRAY(SELECT id FROM own))
), redeliveries AS (
    DELETE FROM noteflow.webhook_redeliveries WHERE delivery_id = ANY(ARRAY(SELECT id FROM own))
), deliveries AS (
    DELETE FROM noteflow.webhook_deliveries WHERE id = ANY(ARRAY(SELECT id FROM own))
), orders AS (
    DELETE FROM noteflow.meeting_orders AS kept USING (
        SELECT webhook_id, meeting_id FROM noteflow.meeting_orders
        WHERE updated_at <= now() - CAST(:age AS interval) AND stopped_by IS NULL
        ORDER BY updated_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE kept.webhook_id = old.webhook_id AND kept.meeting_id = old.meeting_id
), done AS (
    DELETE FROM noteflow.webhook_events WHERE id = ANY(ARRAY(SELECT id FROM whole)) RETURNING id
)""",
)

_REMOVE_ATTEMPTS: Final = _purge(
    "webhook_attempts",
    moment="started_at",
    where="true",
    then=f"""chosen AS MATERIALIZED (
    SELECT attempt.id FROM examined CROSS JOIN LATERAL (
        SELECT id, delivery_id FROM noteflow.webhook_attempts WHERE id = examined.id FOR UPDATE SKIP LOCKED
    ) AS attempt
    WHERE {_COUNTED_ATTEMPT} AND coalesce(
        (SELECT status FROM noteflow.webhook_deliveries WHERE id = attempt.delivery_id LIMIT 1), 'gone'
    ) NOT IN {_IN_HAND}
), done AS (
    DELETE FROM noteflow.webhook_attempts WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",  # noqa: S608 - put together from constants of this file
)

_REMOVE_REPLAYS: Final = _purge(
    "webhook_replays",
    moment="finished_at",
    where="finished_at IS NOT NULL",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_replays AS replay
    WHERE id = ANY(ARRAY(SELECT id FROM examined))
      AND NOT EXISTS (SELECT FROM noteflow.webhook_redeliveries WHERE replay_id = replay.id)
    FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.webhook_replays WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)

_REMOVE_BATCHES: Final = _purge(
    "webhook_batches",
    moment="created_at",
    where="true",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_batches AS batch
    WHERE id = ANY(ARRAY(SELECT id FROM examined))
      AND NOT EXISTS (SELECT FROM noteflow.webhook_deliveries WHERE batch_id = batch.id)
    FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.webhook_batches WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)

_REMOVE_WEBHOOKS: Final = _purge(
    "webhook_configs",
    moment="deleted_at",
    where="deleted_at IS NOT NULL",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_configs AS config
    WHERE id = ANY(ARRAY(SELECT id FROM examined))
      AND NOT EXISTS (SELECT FROM noteflow.webhook_deliveries WHERE webhook_id = config.id)
      AND NOT EXISTS (SELECT FROM noteflow.webhook_events WHERE target_webhook_id = config.id)
      AND NOT EXISTS (SELECT FROM noteflow.webhook_replays WHERE webhook_id = config.id)
      AND NOT EXISTS (SELECT FROM noteflow.webhook_batches WHERE webhook_id = config.id)
    FOR UPDATE SKIP LOCKED
), health AS (
    DELETE FROM noteflow.webhook_health WHERE webhook_id = ANY(ARRAY(SELECT id FROM chosen))
), facts AS (
    DELETE FROM noteflow.stats_endpoints WHERE webhook_id = ANY(ARRAY(SELECT id FROM chosen))
), done AS (
    DELETE FROM noteflow.webhook_configs WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)


_REMOVE_REQUESTS: Final = _purge(
    "request_ids",
    moment="created_at",
    where="true",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.request_ids WHERE id = ANY(ARRAY(SELECT id FROM examined)) FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.request_ids
    WHERE id = ANY(ARRAY(SELECT id FROM chosen)) AND created_at <= now() - CAST(:age AS interval)
    RETURNING id
)""",
)

_REMOVE_MAILS: Final = _purge(
    "webhook_mails",
    moment="created_at",
    where="true",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_mails WHERE id = ANY(ARRAY(SELECT id FROM examined)) FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.webhook_mails WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)

#: A small table, gone through as it lies.
_REMOVE_HEADER_FORMS: Final = text("""
WITH old AS MATERIALIZED (
    SELECT id FROM noteflow.header_forms WHERE used_at <= now() - CAST(:age AS interval)
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.header_forms WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING id
)
SELECT count(*) AS rows FROM done
""")

#: All of it in a function of the database's own: triggers refuse every other statement that removes an entry. Nothing
#: stays of what is old enough, but for what another call is about to remove.
_REMOVE_AUDIT_ENTRIES: Final = text(
    "SELECT removed, CASE WHEN removed = :limit THEN moment END AS moment, CASE WHEN removed = :limit THEN id END AS id"
    " FROM noteflow.purge_audit_log(CAST(:age AS interval), CAST(:limit AS integer))"
)


class SqlAlchemyRetentionStore(RetentionStore):
    """Retention in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        """Work through this engine."""
        self._engine = engine
        self._keeper = SqlAlchemyStatsKeeper(engine)

    @override
    def erase_payloads(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_ERASE_PAYLOADS, older_than, limit, after)

    @override
    def remove_attempts(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_ATTEMPTS, older_than, limit, after, **self._counted())

    @override
    def remove_events(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_EVENTS, older_than, limit, after, **self._counted())

    @override
    def remove_replays(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_REPLAYS, older_than, limit, after)

    @override
    def remove_batches(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_BATCHES, older_than, limit, after)

    @override
    def remove_requests(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_REQUESTS, older_than, limit, after)

    @override
    def remove_mails(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_MAILS, older_than, limit, after)

    @override
    def remove_header_forms(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._engine.begin() as connection:
            rows = connection.execute(_REMOVE_HEADER_FORMS, {"age": older_than, "limit": limit}).scalar_one()
        return PurgeBatch(rows, None)

    @override
    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._run(_REMOVE_WEBHOOKS, older_than, limit, after)

    @override
    def remove_minutes(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._remove_figures(REMOVE_MINUTES, older_than, limit)

    @override
    def remove_hours(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._remove_figures(REMOVE_HOURS, older_than, limit)

    @override
    def remove_audit_entries(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._engine.begin() as connection:
            row = connection.execute(_REMOVE_AUDIT_ENTRIES, {"age": older_than, "limit": limit}).one()
        return PurgeBatch(row.removed, None if row.id is None else Position(row.moment, row.id))

    def _counted(self) -> dict[str, Any]:
        """Have all be counted that is there, and return what says of a row whether it was."""
        # What was made in this very millisecond would not be.
        time.sleep(2 * _MILLISECOND_S)
        self._keeper.roll_up(within=COUNTED_FOR)
        counted_to = self._keeper.counted_to()
        return {
            "counted_to": counted_to,
            "uncounted": first_id(counted_to),
            "beyond": first_id(max(counted_to, datetime.now(UTC)) + _DAY),
        }

    def _remove_figures(self, statement: TextClause, age: timedelta, limit: int) -> PurgeBatch:
        with self._engine.begin() as connection:
            row = connection.execute(statement, {"age": age, "limit": limit}).one()
        return PurgeBatch(row.rows, Position(row.moment, _BEGINNING.id) if row.rows == limit else None)

    def _run(
        self, statement: TextClause, age: timedelta, limit: int, after: Position | None, **more: object
    ) -> PurgeBatch:
        behind = after if after is not None else _BEGINNING
        params = {"age": age, "limit": limit, "moment": behind.created_at, "id": behind.id, **more}
        with self._engine.begin() as connection:
            row = connection.execute(statement, params).one()
        return PurgeBatch(row.rows, None if row.id is None else Position(row.moment, row.id))
