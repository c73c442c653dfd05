"""The statements that dispatch: events become deliveries, a batch in one round trip, and some are claimed with it."""

from __future__ import annotations

from typing import Final, NamedTuple

from noteflow_hooks.persistence.sql.delivery.claim_statements import KEEPS_BACK_SINCE, ROOM, THROTTLED, lease_end
from noteflow_hooks.persistence.sql.delivery.direct import IF_NEW, Usual
from noteflow_hooks.persistence.sql.delivery.endpoint_cache import VERSION
from noteflow_hooks.persistence.sql.delivery.rows import (
    CLAIM_EXPRESSIONS,
    ClaimRow,
    DispatchReport,
    columns,
    no_columns,
)
from noteflow_hooks.persistence.sql.renderings import facts_sql, rendering_sql


class TraceColumns(NamedTuple):
    """Where a statement looks at the events' traces, if it does."""

    #: Of an event.
    column: str
    #: Of what is reported: all of them, with commas between.
    report: str


NO_TRACES: Final = TraceColumns("/* traces */", "NULL::text /* of all events */")
_TRACES: Final = TraceColumns(", traceparent", "(SELECT string_agg(traceparent, ',') FROM picked)")


def traced(sql: str) -> str:
    """Return the same statement, which reports the traces of the events that it is about."""
    for usual, own in zip(NO_TRACES, _TRACES, strict=True):
        sql = sql.replace(usual, own)
    return sql


class BatchColumns(NamedTuple):
    """Further columns for what goes in batches, by where they come from."""

    event: str = ""
    endpoint: str = ""
    found: str = ""
    ranked: str = ""


NO_BATCHES: Final = BatchColumns()

#: The endpoint that an event of ``webhook.failing`` and its like is about. A payload with an escape, which
#: no such event of ours has, is not read: PostgreSQL can't take every escape, and the statement would fail for all.
_ABOUT = r"""CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled', 'webhook.certificate_expiring')
                     AND position('\u' IN payload::text) = 0
                THEN payload ->> 'webhook_id' END"""

#: An endpoint's row has both, and so has its health's.
_VERSION = VERSION.replace("xmin", "config.xmin").replace("ctid", "config.ctid")


#: Makes rows of deliveries out of events, in the order of the events, the named ones first, and then of the endpoints'
#: ids; they are cut at ``:limit``. What is for a throttled endpoint is throttled from the start, and so is what one
#: endpoint gets beyond ``:burst``: so no flood fills the queue for the rest.
# rule of domain.fan_out.receives
# rule of domain.health.load.is_throttled_from_the_start
_MADE = f"""
named AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           {_ABOUT} AS about{NO_TRACES.column}/* more of event */
    FROM noteflow.webhook_events
    WHERE id = ANY(CAST(:ids AS uuid[])) AND dispatched_at IS NULL
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           {_ABOUT} AS about{NO_TRACES.column}/* more of event */
    FROM noteflow.webhook_events
    WHERE dispatched_at IS NULL AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY created_at, id
    LIMIT greatest(:others, :events - (SELECT count(*) FROM named))
    FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY later, created_at, id) AS place
    FROM (SELECT *, 0 AS later FROM named UNION ALL SELECT *, 1 FROM others) AS waiting
), found AS MATERIALIZED (
    SELECT picked.place, picked.id AS event_id, picked.workspace_id, picked.event_type,
           picked.target_webhook_id IS NOT NULL AS forced, matching.id AS webhook_id, matching.enabled,
           matching.throttled, matching.paused, matching.slow, matching.is_later, matching.timeout_ms, matching.version,
           matching.rendering/* more of found */
    FROM picked CROSS JOIN LATERAL (
        SELECT config.id, config.enabled, {THROTTLED} AS throttled, {KEEPS_BACK_SINCE} IS NOT NULL AS paused,
               health.slow_since IS NOT NULL AS slow, coalesce(health.turn_at > now(), false) AS is_later,
               config.timeout_ms, {_VERSION} AS version, {rendering_sql("config")} AS rendering/* more of endpoint */
        FROM noteflow.webhook_configs AS config
        LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id
        WHERE config.workspace_id = picked.workspace_id AND config.deleted_at IS NULL
          AND config.created_at <= picked.created_at
          AND config.id > coalesce(picked.dispatch_cursor, '00000000-0000-0000-0000-000000000000')
          AND CASE WHEN picked.target_webhook_id IS NULL THEN picked.event_type = ANY(config.events)
                   ELSE config.id = picked.target_webhook_id END
          AND config.id::text IS DISTINCT FROM picked.about
        ORDER BY config.id
        LIMIT :limit + 1
    ) AS matching
    ORDER BY picked.place, matching.id
    LIMIT :limit + 1
), made AS MATERIALIZED (
    SELECT * FROM found ORDER BY place, webhook_id LIMIT :limit
), cut AS MATERIALIZED (
    SELECT place, (SELECT webhook_id FROM made WHERE made.place = found.place ORDER BY webhook_id DESC LIMIT 1)
                  AS webhook_id
    FROM found WHERE (SELECT count(*) FROM found) > :limit
    ORDER BY place DESC LIMIT 1
), ranked AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY place) AS nth,
           enabled AND NOT forced
              AND (throttled OR row_number() OVER (PARTITION BY webhook_id ORDER BY place) > :burst)
           AS held/* more of ranked */
    FROM made
)
"""  # noqa: S608 - put together from constants of this file


def made(more: BatchColumns = NO_BATCHES) -> str:
    """Return the steps that make rows of deliveries, with further columns for what goes in batches."""
    sql = _MADE
    for name, columns_of in more._asdict().items():
        sql = sql.replace(f"/* more of {name} */", columns_of)
    return sql


#: Whether a slot that is to come later, for a batch that has not all its members yet, is to come now: with those that
#: are made here they are enough, or the first of them is not to wait for so long.
# rule of domain.health.scheduling.is_awaited
def _awaited(fresh: str) -> str:
    """Return the condition, by what counts those made here that wait for others."""
    return f"""
EXISTS (
    SELECT FROM noteflow.webhook_configs AS config
    WHERE config.id = health.webhook_id AND (
        health.turn_at > now() + make_interval(secs => config.batch_wait_ms / 1000.0)
        OR ({fresh}) + (
            SELECT count(*) FROM (
                SELECT FROM noteflow.delivery_queue
                WHERE webhook_id = config.id AND status = 'pending' AND held AND batch_id IS NULL
                  AND next_attempt_at <= now()
                LIMIT config.batch_max
            ) AS gathered
        ) >= config.batch_max
    )
)
"""  # noqa: S608 - put together from constants of this file


#: Whether the endpoint's slot has come, or was brought forward.
_DUE = "(NOT is_later OR webhook_id = ANY(ARRAY(SELECT webhook_id FROM scheduled WHERE brought_forward)))"


#: What is for an endpoint that is disabled is settled as it is made. Events before the cut are finished with; the one
#: that it goes through remembers the endpoint it reached.
def followed(fresh: str = "SELECT count(*) FROM ranked WHERE ranked.webhook_id = config.id") -> str:
    """Return the steps; ``fresh`` counts an endpoint's deliveries made here that wait for others of their batch."""
    return f"""
skipped AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, error_message, skip_reason)
    SELECT ranked.workspace_id, webhook_id, event_id, event_type, 'skipped', CAST(:disabled AS text),
           CASE WHEN starts_with(reason, CAST(:gone AS text)) THEN 'gone' ELSE 'disabled' END
    FROM ranked
    CROSS JOIN LATERAL (SELECT disabled_reason FROM noteflow.webhook_configs WHERE id = webhook_id) AS config (reason)
    WHERE NOT ranked.enabled
    ON CONFLICT DO NOTHING
), scheduled AS (
    UPDATE noteflow.webhook_health AS health
    SET turn_at = CASE WHEN health.gathering AND health.turn_at > now() AND {_awaited(fresh)} THEN now()
                       ELSE coalesce(health.turn_at, now()) END
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM locked))
    RETURNING health.webhook_id, health.gathering AND health.turn_at <= now() AS brought_forward
), closed AS (
    UPDATE noteflow.webhook_events AS event
    SET dispatched_at = CASE WHEN cut.place = picked.place THEN NULL ELSE now() END,
        dispatch_cursor = CASE WHEN cut.place = picked.place THEN cut.webhook_id END
    FROM picked LEFT JOIN cut ON true
    WHERE event.id = picked.id
      AND (cut.place IS NULL OR picked.place < cut.place OR (picked.place = cut.place AND cut.webhook_id IS NOT NULL))
    RETURNING event.dispatched_at
)
"""  # noqa: S608 - put together from constants of this file


#: The columns of a claim that was made as it was leased: its row is as new as that.
LEASED_COLUMNS = columns(
    ClaimRow,
    CLAIM_EXPRESSIONS
    | {
        "status_code": "NULL::integer",
        "response_body": "NULL::text",
        "error_message": "NULL::text",
        "attempt_count": "0",
        "duration_ms": "NULL::integer",
        "budget_used": "0",
        "interruptions": "0",
        "claim_no": "1",
        "passes_filter": "NULL::boolean",
        "lease_expires_at": lease_end("owned.timeout_ms", "owned.moment"),
        "created_at": "now()",
        "ordered_meeting": "NULL::text",
        "sequence": "NULL::bigint",
        "gap": "NULL::integer",
        "out_of_order": "NULL::boolean",
        "facts": facts_sql("owned.rendering"),
        "version": "owned.version",
    },
    table="owned",
)


#: Whether something that is throttled is for endpoints with batches. Nothing is looked up where nothing is throttled.
_BATCHED: Final = """EXISTS (
               SELECT FROM noteflow.webhook_configs
               WHERE id = ANY(ARRAY(SELECT webhook_id FROM locked)) AND batch_max <> 0
           )"""


def reported(made: str, throttled: str, *, batched: str = _BATCHED) -> str:
    """Return the columns of what is reported beside what was claimed; a column of ``made`` says what was throttled."""
    return columns(
        DispatchReport,
        {
            "delivery_ids": """ARRAY(
               SELECT inserted.id FROM inserted JOIN ranked USING (event_id, webhook_id)
               WHERE inserted.status = 'pending' AND NOT inserted.held
               ORDER BY ranked.nth, ranked.place
           )""",
            "throttled": f"EXISTS (SELECT FROM {made} WHERE {throttled} AND NOT slow AND {_DUE})",
            "throttled_slow": f"EXISTS (SELECT FROM {made} WHERE {throttled} AND slow AND {_DUE})",
            "events": "(SELECT count(*) FROM closed WHERE dispatched_at IS NOT NULL)",
            "batched": batched,
            "traceparents": NO_TRACES.report,
            "more": """EXISTS (SELECT FROM cut)
               OR (SELECT count(*) FROM others) >= greatest(:others, :events - (SELECT count(*) FROM named))""",
        },
    )


#: Makes deliveries of events, and claims none. Nobody waits for the disk: where a crash of the server takes the
#: deliveries, the event is dispatched once more, and nothing was sent yet, since each claim waits for the disk, and so
#: for all that was written before it. Throttling waits for locks on endpoints' health, in the order of their ids.
_DISPATCH = f"""
WITH unhurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), {made()}, locked AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE held AND NOT paused))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
), inserted AS (
    INSERT INTO noteflow.delivery_queue
        (workspace_id, webhook_id, event_id, event_type, status, next_attempt_at, held, forced)
    SELECT workspace_id, webhook_id, event_id, event_type, 'pending', now(), held, forced
    FROM ranked WHERE enabled
    {IF_NEW}
    RETURNING id, event_id, webhook_id, status, held
), {followed()}
SELECT {reported("ranked", "held")} FROM unhurried
"""  # noqa: S608 - put together from constants of this file

#: The same, and this worker claims the first ``:claim`` of those that may go at once: a fresh event needs no second
#: statement, no second wait for the disk, and no second version of its row. What an endpoint has no room for at this
#: moment stays pending, for the next claim; so does what would be throttled, where somebody else has locked its
#: endpoint's health: that claim throttles it. A statement that claims waits for no lock but other claims'.
_DISPATCH_AND_CLAIM = f"""
WITH {made()}, first AS MATERIALIZED (
    SELECT webhook_id, forced, place FROM ranked
    WHERE enabled AND NOT held
    ORDER BY nth, place
    LIMIT :claim
), waiting AS MATERIALIZED (
    SELECT webhook_id FROM first UNION ALL SELECT webhook_id FROM ranked WHERE held
), {ROOM}, selected AS MATERIALIZED (
    SELECT place, webhook_id FROM (
        SELECT first.place, first.webhook_id, first.forced OR row_number() OVER (
                   PARTITION BY first.webhook_id ORDER BY first.forced, first.place
               ) <= room.places AS may_go
        FROM first JOIN room USING (webhook_id)
    ) AS each WHERE may_go
), owned AS MATERIALIZED (
    SELECT noteflow.ordered_id() AS id, ranked.*, clock_timestamp() AS moment,
           (place, webhook_id) IN (SELECT place, webhook_id FROM selected) AS may_go,
           held AND webhook_id = ANY(ARRAY(SELECT webhook_id FROM endpoints)) AS throttles
    FROM ranked
), locked AS MATERIALIZED (
    SELECT webhook_id FROM owned WHERE throttles AND NOT paused
), inserted AS (
    INSERT INTO noteflow.delivery_queue
        (id, workspace_id, webhook_id, event_id, event_type, status, next_attempt_at, held, forced, claim_no,
         created_at, claimed_at, lease_expires_at, rendering)
    SELECT id, workspace_id, webhook_id, event_id, event_type, CASE WHEN may_go THEN 'sending' ELSE 'pending' END,
           CASE WHEN NOT may_go THEN now() END, throttles, forced AND NOT may_go, CASE WHEN may_go THEN 1 ELSE 0 END,
           now(), CASE WHEN may_go THEN moment END, CASE WHEN may_go THEN {lease_end("timeout_ms", "moment")} END,
           CASE WHEN may_go THEN rendering END
    FROM owned WHERE enabled
    {IF_NEW}
    RETURNING id, event_id, webhook_id, status, held
), {followed()}
SELECT {LEASED_COLUMNS}, {no_columns(DispatchReport)}
FROM owned JOIN noteflow.webhook_events AS event ON event.id = owned.event_id
WHERE owned.may_go AND (owned.id IN (SELECT id FROM inserted)) IS TRUE
UNION ALL
SELECT {no_columns(ClaimRow)}, {reported("owned", "throttles")}
"""  # noqa: S608 - put together from constants of this file

DISPATCH, DISPATCH_AND_CLAIM = Usual.of(_DISPATCH), Usual.of(_DISPATCH_AND_CLAIM)
#: The same for a worker that traces.
TRACED_DISPATCH, TRACED_DISPATCH_AND_CLAIM = Usual.of(traced(_DISPATCH)), Usual.of(traced(_DISPATCH_AND_CLAIM))
