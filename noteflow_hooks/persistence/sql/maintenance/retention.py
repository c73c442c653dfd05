"""What goes once it is old, in PostgreSQL. Each statement is a transaction of its own.

It walks an index from a cursor on and looks at a bounded number of rows, whatever becomes of them: old events that
are not settled, of which a paused endpoint may have millions, are gone through once a round and not at each call.
Rows are locked with ``SKIP LOCKED``: nobody is waited for, and who waits finds the rows erased or gone. Children go
before their parents, so that no foreign key has anything left to do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text
from typing_extensions import override

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.domain.ports.maintenance import RetentionStore, Swept

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import TextClause
    from sqlalchemy.engine import Engine

#: The statuses of a delivery that waits or is under way; whatever has one stays.
_IN_HAND: Final = f"({', '.join(repr(each.value) for each in DeliveryStatus if each not in FINAL_STATUSES)})"
_BEGINNING: Final = Position(datetime.min.replace(tzinfo=UTC), UUID(int=0))


def _sweep(
    table: str, *, moment: str, where: str, then: str, judged: str = "looked", columns: str = "id"
) -> TextClause:
    """Return the statement that finds rows by an index, and then does what they call for.

    ``then`` is common table expressions over ``looked``, of which ``done`` returns a row for each that is counted.
    ``judged`` has those rows that it has come to. How many rows a part has, the planner can hardly know: so each row
    is looked up from a LATERAL subquery or by an array, and nothing is left for it to choose.
    """
    return text(f"""
WITH looked AS MATERIALIZED (
    SELECT {columns}, {moment} AS moment FROM noteflow.{table}
    WHERE {where} AND {moment} <= now() - CAST(:age AS interval) AND ({moment}, id) > (:moment, :id)
    ORDER BY {moment}, id
    LIMIT :limit
), {then}
SELECT told.rows, last.moment, last.id
FROM (SELECT count(*) AS rows FROM done) AS told
LEFT JOIN (SELECT moment, id FROM {judged} ORDER BY moment DESC, id DESC LIMIT 1) AS last
    ON (SELECT count(*) FROM looked) = :limit OR (SELECT count(*) FROM {judged}) < (SELECT count(*) FROM looked)
""")  # noqa: S608 - put together from constants of this file


def _sweep_settled(where: str, *, then: str) -> TextClause:
    """Return the statement that finds settled events; ``then`` is about ``whole``, the events, and ``own`` below them.

    ``own`` has all their deliveries. Both are locked: an event one of whose deliveries is held by somebody else, or is
    sent again at this moment, is left out. A call is cut where the deliveries come to the limit; one event with more
    of them than that is taken whole.
    """
    return _sweep(
        "webhook_events",
        moment="created_at",
        where=where,
        columns="id, payload_erased_at",
        judged="judged",
        then=f"""counted AS MATERIALIZED (
    SELECT looked.*, own.total, own.settled,
           sum(own.total) OVER (ORDER BY looked.moment, looked.id) - own.total AS before
    FROM looked CROSS JOIN LATERAL (
        SELECT count(*) AS total, count(*) FILTER (WHERE status IN {_IN_HAND}) = 0 AS settled
        FROM noteflow.webhook_deliveries WHERE event_id = looked.id
    ) AS own
), judged AS MATERIALIZED (
    SELECT * FROM counted WHERE before < :limit
), chosen AS MATERIALIZED (
    SELECT event.id, judged.total FROM judged CROSS JOIN LATERAL (
        SELECT id FROM noteflow.webhook_events
        WHERE id = judged.id AND dispatched_at IS NOT NULL
          AND payload_erased_at IS NOT DISTINCT FROM judged.payload_erased_at
        FOR UPDATE SKIP LOCKED
    ) AS event
    WHERE judged.settled
), whole AS MATERIALIZED (
    SELECT chosen.id, held.ids FROM chosen CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{{}}') AS ids FROM (
            SELECT id FROM noteflow.webhook_deliveries
            WHERE event_id = chosen.id AND status NOT IN {_IN_HAND}
            FOR UPDATE SKIP LOCKED
        ) AS delivery
    ) AS held
    WHERE cardinality(held.ids) = chosen.total
), own AS MATERIALIZED (
    SELECT unnest(ids) AS id FROM whole
), {then}""",  # noqa: S608 - put together from constants of this file
    )


_ERASE_PAYLOADS: Final = _sweep_settled(
    "payload_erased_at IS NULL",
    then="""attempts AS (
    UPDATE noteflow.webhook_attempts SET response_body = NULL
    WHERE delivery_id = ANY(ARRAY(SELECT id FROM own)) AND response_body IS NOT NULL
), deliveries AS (
    UPDATE noteflow.webhook_deliveries SET response_body = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM own)) AND response_body IS NOT NULL
), done AS (
    UPDATE noteflow.webhook_events SET payload = '{}', payload_erased_at = now()
    WHERE id = ANY(ARRAY(SELECT id FROM whole))
    RETURNING id
)""",
)

_REMOVE_EVENTS: Final = _sweep_settled(
    "payload_erased_at IS NOT NULL",
    then="""attempts AS (
    DELETE FROM noteflow.webhook_attempts WHERE delivery_id = ANY(ARRAY(SELECT id FROM own))
), redeliveries AS (
    DELETE FROM noteflow.webhook_redeliveries WHERE delivery_id = ANY(ARRAY(SELECT id FROM own))
), deliveries AS (
    DELETE FROM noteflow.webhook_deliveries WHERE id = ANY(ARRAY(SELECT id FROM own))
), done AS (
    DELETE FROM noteflow.webhook_events WHERE id = ANY(ARRAY(SELECT id FROM whole)) RETURNING id
)""",
)

_REMOVE_ATTEMPTS: Final = _sweep(
    "webhook_attempts",
    moment="started_at",
    where="true",
    then=f"""chosen AS MATERIALIZED (
    SELECT attempt.id FROM looked CROSS JOIN LATERAL (
        SELECT id, delivery_id FROM noteflow.webhook_attempts WHERE id = looked.id FOR UPDATE SKIP LOCKED
    ) AS attempt
    WHERE (
        SELECT status FROM noteflow.webhook_deliveries WHERE id = attempt.delivery_id
    ) NOT IN {_IN_HAND}
), done AS (
    DELETE FROM noteflow.webhook_attempts WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",  # noqa: S608 - put together from constants of this file
)

_REMOVE_REPLAYS: Final = _sweep(
    "webhook_replays",
    moment="finished_at",
    where="finished_at IS NOT NULL",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_replays AS replay
    WHERE id = ANY(ARRAY(SELECT id FROM looked))
      AND NOT EXISTS (SELECT FROM noteflow.webhook_redeliveries WHERE replay_id = replay.id)
    FOR UPDATE SKIP LOCKED
), done AS (
    DELETE FROM noteflow.webhook_replays WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)

_REMOVE_WEBHOOKS: Final = _sweep(
    "webhook_configs",
    moment="deleted_at",
    where="deleted_at IS NOT NULL",
    then="""chosen AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_configs AS config
    WHERE id = ANY(ARRAY(SELECT id FROM looked))
      AND NOT EXISTS (SELECT FROM noteflow.webhook_deliveries WHERE webhook_id = config.id)
      AND NOT EXISTS (SELECT FROM noteflow.webhook_events WHERE target_webhook_id = config.id)
      AND NOT EXISTS (SELECT FROM noteflow.webhook_replays WHERE webhook_id = config.id)
    FOR UPDATE SKIP LOCKED
), health AS (
    DELETE FROM noteflow.webhook_health WHERE webhook_id = ANY(ARRAY(SELECT id FROM chosen))
), done AS (
    DELETE FROM noteflow.webhook_configs WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING id
)""",
)


class SqlAlchemyRetentionStore(RetentionStore):
    """Retention in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        """Work through this engine."""
        self._engine = engine

    @override
    def erase_payloads(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        return self._run(_ERASE_PAYLOADS, older_than, limit, after)

    @override
    def remove_attempts(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        return self._run(_REMOVE_ATTEMPTS, older_than, limit, after)

    @override
    def remove_events(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        return self._run(_REMOVE_EVENTS, older_than, limit, after)

    @override
    def remove_replays(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        return self._run(_REMOVE_REPLAYS, older_than, limit, after)

    @override
    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        return self._run(_REMOVE_WEBHOOKS, older_than, limit, after)

    def _run(self, statement: TextClause, age: timedelta, limit: int, after: Position | None) -> Swept:
        behind = after if after is not None else _BEGINNING
        params = {"age": age, "limit": limit, "moment": behind.created_at, "id": behind.id}
        with self._engine.begin() as connection:
            row = connection.execute(statement, params).one()
        return Swept(row.rows, None if row.id is None else Position(row.moment, row.id))
