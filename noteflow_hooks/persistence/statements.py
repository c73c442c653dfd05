"""Statements that do a whole batch in one round trip, whatever its size; most are the workers'.

Times are the database's own. ``SKIP LOCKED`` lets any number of workers run them side by side. Ids that a statement has
found go on as arrays: a join would have the planner, which can't know how few they are, read whole tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.domain.turns import LAGGING_LIMIT
from noteflow_hooks.domain.webhooks import TIMEOUT_MS
from noteflow_hooks.persistence.endpoint_cache import VERSION
from noteflow_hooks.persistence.health_statements import IN_FLIGHT

#: What makes an endpoint a gated one, whose deliveries are held and go in turns; the domain says the same in
#: ``EndpointHealth.is_gated``.
_GATED = """
    coalesce(health.turn_at, health.open_until, health.slow_since, config.paused_at) IS NOT NULL
    OR health.ramp IS NOT NULL OR config.rate_limit_per_s IS NOT NULL
"""

#: The endpoint whose trouble an event is about. An escape, which no such event of ours has, may stand for what
#: PostgreSQL can't take for text: the statement would fail, for all events.
_ABOUT = r"""CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled') AND position('\u' IN payload::text) = 0
                THEN payload ->> 'webhook_id' END"""

#: Makes deliveries of events. An endpoint must have been there before the event, and is not told of its own trouble.
#: Rows come in the order of the events, the named ones first, then of the endpoints' ids, and are cut at ``:limit``.
#: Events before the cut are finished with; the one that it goes through remembers the endpoint it reached. What is for
#: a gated endpoint is held from the start, and so is what one endpoint gets beyond ``:burst``: no flood fills the queue
#: for the rest. The ids come with every workspace's first one before any workspace's second.
#: Nobody waits for the disk: where a crash of the server takes the deliveries, the event is dispatched once more, and
#: nothing was sent yet, since each claim waits for the disk, and so for all that was written before it.
DISPATCH = text(f"""
WITH unhurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), named AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           {_ABOUT} AS about
    FROM noteflow.webhook_events
    WHERE id = ANY(CAST(:ids AS uuid[])) AND dispatched_at IS NULL
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           {_ABOUT} AS about
    FROM noteflow.webhook_events
    WHERE dispatched_at IS NULL AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY created_at, id
    LIMIT :others
    FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY later, created_at, id) AS place
    FROM (SELECT *, 0 AS later FROM named UNION ALL SELECT *, 1 FROM others) AS waiting
), made AS MATERIALIZED (
    SELECT picked.place, picked.id AS event_id, picked.workspace_id, picked.event_type,
           picked.target_webhook_id IS NOT NULL AS forced, matching.id AS webhook_id, matching.enabled, matching.gated,
           matching.paused, matching.slow
    FROM picked CROSS JOIN LATERAL (
        SELECT config.id, config.enabled, {_GATED} AS gated, config.paused_at IS NOT NULL AS paused,
               health.slow_since IS NOT NULL AS slow
        FROM noteflow.webhook_configs AS config
        LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id
        WHERE config.workspace_id = picked.workspace_id AND config.deleted_at IS NULL
          AND config.created_at <= picked.created_at
          AND config.id > coalesce(picked.dispatch_cursor, '00000000-0000-0000-0000-000000000000')
          AND CASE WHEN picked.target_webhook_id IS NULL THEN picked.event_type = ANY(config.events)
                   ELSE config.id = picked.target_webhook_id END
          AND config.id::text IS DISTINCT FROM picked.about
        ORDER BY config.id
        LIMIT :limit
    ) AS matching
    ORDER BY picked.place, matching.id
    LIMIT :limit
), cut AS (
    SELECT place, webhook_id FROM made WHERE (SELECT count(*) FROM made) = :limit
    ORDER BY place DESC, webhook_id DESC LIMIT 1
), ranked AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY place) AS nth,
           enabled AND NOT forced
              AND (gated OR row_number() OVER (PARTITION BY webhook_id ORDER BY place) > :burst) AS held
    FROM made
), inserted AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, error_message, next_attempt_at, held, forced)
    SELECT workspace_id, webhook_id, event_id, event_type, CASE WHEN enabled THEN 'pending' ELSE 'skipped' END,
           CASE WHEN NOT enabled THEN CAST(:disabled AS text) END, CASE WHEN enabled THEN now() END, held,
           enabled AND forced
    FROM ranked
    ON CONFLICT (event_id, webhook_id) DO NOTHING
    RETURNING id, event_id, webhook_id, status, held
), turning AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE held AND NOT paused))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
), woken AS (
    UPDATE noteflow.webhook_health AS health SET turn_at = coalesce(health.turn_at, now())
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM turning))
), closed AS (
    UPDATE noteflow.webhook_events AS event
    SET dispatched_at = CASE WHEN cut.place = picked.place THEN NULL ELSE now() END,
        dispatch_cursor = CASE WHEN cut.place = picked.place THEN cut.webhook_id END
    FROM picked LEFT JOIN cut ON true
    WHERE event.id = picked.id AND (cut.place IS NULL OR picked.place <= cut.place)
    RETURNING event.dispatched_at
)
SELECT ARRAY(
           SELECT inserted.id FROM inserted JOIN ranked USING (event_id, webhook_id)
           WHERE inserted.status = 'pending' AND NOT inserted.held
           ORDER BY ranked.nth, ranked.place
       ) AS delivery_ids,
       EXISTS (SELECT FROM ranked WHERE held AND NOT slow) AS turns,
       EXISTS (SELECT FROM ranked WHERE held AND slow) AS slow_turns,
       (SELECT count(*) FROM closed WHERE dispatched_at IS NOT NULL) AS events,
       EXISTS (SELECT FROM cut) OR (SELECT count(*) FROM others) = :others AS more
FROM unhurried
""")  # noqa: S608 - put together from constants of this file

#: An endpoint's time limit, within what is allowed whatever stands in its row.
_TIMEOUT_MS = f"least(greatest(webhook.timeout_ms, {TIMEOUT_MS.start}), {TIMEOUT_MS.stop - 1})"
#: Makes this worker the owner of the deliveries in ``going``. The claim's number goes on from 0 where a row that was
#: changed by hand has the last one: else the statement would fail, for all deliveries.
_CLAIMED = f"""
claimed AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = 'sending', claim_no = ((delivery.claim_no::bigint + 1) % 2147483648)::integer,
        next_attempt_at = NULL, held = false, forced = false, claimed_at = clock_timestamp(),
        lease_expires_at = clock_timestamp() + make_interval(secs => {_TIMEOUT_MS} / 1000.0 + :slack_s)
    FROM (
        SELECT id, timeout_ms FROM noteflow.webhook_configs WHERE id = ANY(ARRAY(SELECT webhook_id FROM going))
    ) AS webhook
    WHERE webhook.id = delivery.webhook_id AND delivery.id = ANY(ARRAY(SELECT id FROM going))
    RETURNING delivery.*
)"""  # noqa: S608 - put together from constants of this file
#: What the POST of a claimed delivery needs, but for its endpoint, whose version is told: it may have been read before.
#: Numbers are brought within what may stand there, see ``bounds``.
_NEEDED = """
claimed.id, claimed.webhook_id, claimed.event_id, claimed.event_type, claimed.status_code, claimed.response_body,
claimed.error_message, least(greatest(claimed.attempt_count, 0), 2147483646) AS attempt_count, claimed.duration_ms,
least(greatest(claimed.budget_used, 0), 32766) AS budget_used,
least(greatest(claimed.interruptions, 0), 32766) AS interruptions, claimed.claim_no,
event.payload::text AS payload, event.target_webhook_id IS NOT NULL AS targeted,
event.payload_erased_at IS NOT NULL AS erased, claimed.lease_expires_at, claimed.created_at,
webhook.version
"""
NEEDED_COLUMNS: Final = 18
_NEEDED_FROM = f"""
claimed
JOIN (
    SELECT id, {VERSION} AS version FROM noteflow.webhook_configs
    WHERE id = ANY(ARRAY(SELECT webhook_id FROM going))
) AS webhook ON webhook.id = claimed.webhook_id
JOIN noteflow.webhook_events AS event ON event.id = claimed.event_id
"""  # noqa: S608 - put together from constants

#: Claims of the same endpoints go one after the other, which none waits long for: each is a statement by itself, and
#: the server ends it whatever becomes of its worker. They queue in so many lines, always in the lines' order; the first
#: number tells these locks from others'.
_LINES: Final = 64
_CLAIMS: Final = 1_852_793_958

#: Takes due deliveries of open endpoints for this worker. The endpoints' health is locked before their POSTs are
#: counted: together, all workers keep each endpoint's cap. An endpoint that somebody else has locked, beside claims, is
#: passed over, so that none holds up the others. What can't go is held, and gets a turn. A row without a delivery
#: comes where nothing was claimed.
CLAIM = text(f"""
WITH named AS MATERIALIZED (
    SELECT id, webhook_id, next_attempt_at, forced, 0 AS later FROM noteflow.webhook_deliveries
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND NOT held AND next_attempt_at <= now()
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, webhook_id, next_attempt_at, forced, 1 AS later FROM noteflow.webhook_deliveries
    WHERE status = 'pending' AND NOT held AND next_attempt_at <= now() AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY next_attempt_at
    LIMIT greatest(0, :limit - (SELECT count(*) FROM named))
    FOR UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
    SELECT * FROM named UNION ALL SELECT * FROM others
), in_line AS MATERIALIZED (
    SELECT pg_advisory_xact_lock({_CLAIMS}, line)
    FROM (SELECT DISTINCT hashtext(webhook_id::text) & {_LINES - 1} AS line FROM waiting ORDER BY line) AS lines
), endpoints AS MATERIALIZED (
    SELECT * FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM waiting)) AND (SELECT count(*) FROM in_line) > 0
    FOR NO KEY UPDATE SKIP LOCKED
), counted AS MATERIALIZED (
    SELECT * FROM noteflow.under_way(ARRAY(SELECT webhook_id FROM endpoints))
), room AS MATERIALIZED (
    SELECT config.id AS webhook_id, config.paused_at, health.slow_since,
           CASE WHEN NOT config.enabled OR config.deleted_at IS NOT NULL THEN :limit
                WHEN {_GATED} THEN 0
                WHEN config.max_concurrency IS NULL AND counted.lagging >= {LAGGING_LIMIT} THEN 0
                ELSE coalesce(config.max_concurrency, :concurrency)::bigint - coalesce(counted.posts, 0) END AS places
    FROM noteflow.webhook_configs AS config LEFT JOIN endpoints AS health ON health.webhook_id = config.id
    LEFT JOIN counted ON counted.webhook_id = config.id
    WHERE config.id = ANY(ARRAY(SELECT webhook_id FROM waiting))
      AND (health.webhook_id IS NOT NULL
           OR NOT EXISTS (SELECT FROM noteflow.webhook_health WHERE webhook_id = config.id))
), ranked AS MATERIALIZED (
    SELECT waiting.id, waiting.webhook_id, room.paused_at, room.slow_since,
           waiting.forced OR row_number() OVER (
               PARTITION BY waiting.webhook_id ORDER BY waiting.forced, waiting.later, waiting.next_attempt_at
           ) <= room.places AS goes
    FROM waiting JOIN room USING (webhook_id)
), going AS MATERIALIZED (
    SELECT id, webhook_id FROM ranked WHERE goes
), {_CLAIMED}, holding AS (
    UPDATE noteflow.webhook_deliveries SET held = true
    WHERE id = ANY(ARRAY(SELECT id FROM ranked WHERE NOT goes))
), woken AS (
    UPDATE noteflow.webhook_health SET turn_at = coalesce(turn_at, now())
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE NOT goes AND paused_at IS NULL))
)
SELECT {_NEEDED}, told.*
FROM (
    SELECT (SELECT count(*) FROM ranked WHERE NOT goes) AS held_count,
           (SELECT count(*) FROM named) < :limit AND EXISTS (
               SELECT FROM noteflow.webhook_deliveries
               WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND NOT held AND next_attempt_at <= now()
                 AND id <> ALL(ARRAY(SELECT id FROM ranked))
           ) OR EXISTS (
               SELECT FROM named WHERE webhook_id <> ALL(ARRAY(SELECT webhook_id FROM room))
           ) AS passed_over,
           EXISTS (SELECT FROM ranked WHERE NOT goes AND paused_at IS NULL AND slow_since IS NULL)
           OR EXISTS (SELECT FROM noteflow.webhook_health WHERE turn_at <= now() AND slow_since IS NULL) AS turns_due,
           EXISTS (SELECT FROM ranked WHERE NOT goes AND paused_at IS NULL AND slow_since IS NOT NULL) AS slow_turns_due
) AS told LEFT JOIN ({_NEEDED_FROM}) ON true
""")  # noqa: S608 - put together from constants of this file

#: Takes so many held deliveries of each of these endpoints, whose health is locked, those due longest first.
CLAIM_HELD = text(f"""
WITH given AS (
    SELECT * FROM unnest(CAST(:webhook_ids AS uuid[]), CAST(:counts AS integer[])) AS each (webhook_id, places)
), going AS MATERIALIZED (
    SELECT waiting.id, given.webhook_id FROM given CROSS JOIN LATERAL (
        SELECT id FROM noteflow.webhook_deliveries
        WHERE webhook_id = given.webhook_id AND status = 'pending' AND held
        ORDER BY next_attempt_at
        LIMIT given.places
        FOR UPDATE SKIP LOCKED
    ) AS waiting
), {_CLAIMED}
SELECT {_NEEDED} FROM {_NEEDED_FROM}
""")  # noqa: S608 - put together from constants of this file

#: What makes an endpoint one that is gated by nothing but the number of its deliveries.
_FLOODED = """
    config.enabled AND config.deleted_at IS NULL
    AND coalesce(health.open_until, health.probing_until, config.paused_at) IS NULL
    AND health.ramp IS NULL AND config.rate_limit_per_s IS NULL
"""
#: The turns of endpoints that are merely flooded, as one statement, where the endpoint that has waited longest is such
#: a one; the domain's ``turns`` says the same. Each endpoint's first delivery comes before any one's second. One row
#: more than there are deliveries tells when the next turns are, and whether other endpoints have a turn now.
FLOODED_TURNS = text(f"""
WITH due AS MATERIALIZED (
    SELECT health.webhook_id, health.turn_at, {_FLOODED} AS flooded
    FROM noteflow.webhook_health AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE health.turn_at <= now() AND health.slow_since IS NULL
    ORDER BY health.turn_at
    LIMIT :endpoints
), in_line AS MATERIALIZED (
    SELECT pg_advisory_xact_lock({_CLAIMS}, line)
    FROM (SELECT DISTINCT hashtext(webhook_id::text) & {_LINES - 1} AS line FROM due ORDER BY line) AS lines
    WHERE (SELECT flooded FROM due ORDER BY turn_at LIMIT 1)
), turning AS MATERIALIZED (
    SELECT health.* FROM noteflow.webhook_health AS health
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM due WHERE flooded))
      AND health.turn_at <= clock_timestamp() AND health.slow_since IS NULL AND (SELECT count(*) FROM in_line) > 0
    ORDER BY health.webhook_id
    FOR NO KEY UPDATE SKIP LOCKED
), rooms AS MATERIALIZED (
    SELECT health.webhook_id, health.turn_at,
           greatest(1, coalesce(config.max_concurrency, :concurrency))::bigint - {IN_FLIGHT} AS room
    FROM turning AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE {_FLOODED}
), waiting AS MATERIALIZED (
    SELECT rooms.webhook_id, rooms.turn_at, held.id,
           row_number() OVER (PARTITION BY rooms.webhook_id ORDER BY held.next_attempt_at) AS nth
    FROM rooms CROSS JOIN LATERAL (
        SELECT id, next_attempt_at FROM noteflow.webhook_deliveries
        WHERE webhook_id = rooms.webhook_id AND status = 'pending' AND held
        ORDER BY next_attempt_at
        LIMIT greatest(0, least(rooms.room, :limit))
    ) AS held
), dealt AS MATERIALIZED (
    SELECT id FROM waiting ORDER BY nth, turn_at LIMIT :limit
), going AS MATERIALIZED (
    SELECT id, webhook_id FROM noteflow.webhook_deliveries
    WHERE id = ANY(ARRAY(SELECT id FROM dealt)) AND status = 'pending' AND held
    FOR UPDATE SKIP LOCKED
), {_CLAIMED}, counts AS MATERIALIZED (
    SELECT rooms.webhook_id, rooms.room,
           (SELECT count(*) FROM waiting WHERE webhook_id = rooms.webhook_id) AS seen,
           (SELECT count(*) FROM going WHERE webhook_id = rooms.webhook_id) AS taken
    FROM rooms
), noted AS (
    UPDATE noteflow.webhook_health AS health
    SET turn_at = CASE WHEN counts.taken >= counts.room THEN clock_timestamp() + make_interval(secs => :poll_s)
                       WHEN counts.taken < counts.seen OR counts.seen >= :limit THEN clock_timestamp() END,
        awaiting_room = counts.taken >= counts.room
    FROM counts WHERE health.webhook_id = counts.webhook_id
    RETURNING health.webhook_id, health.turn_at - clock_timestamp() AS wait
)
SELECT {_NEEDED}, NULL AS waits, NULL AS others FROM {_NEEDED_FROM}
UNION ALL
SELECT {", ".join(["NULL"] * NEEDED_COLUMNS)},
       ARRAY(SELECT wait FROM noted WHERE wait IS NOT NULL), EXISTS (SELECT FROM due WHERE NOT flooded)
""")  # noqa: S608 - put together from constants of this file

#: What makes a success worth a look: the endpoint was not well before.
_ILL = """
(health.failures > 0 OR health.ramp IS NOT NULL
 OR coalesce(health.open_until, health.slow_since, health.failing_since) IS NOT NULL)
"""
#: Stores the next state of claimed deliveries, each only under the claim it was made for, and their attempts; without
#: the receiver's answer where the payload was erased meanwhile, which the delivery is marked with. Tells of each
#: endpoint whether its health is to be looked at: something notable has happened, or it was not well before; and
#: whether it has a turn now, since there is room again that it has waited for. An attempt
#: whose number is on record, since somebody set the delivery's count back, is left out: else its result could not be
#: stored, and it would be made again and again.
SETTLE = text(f"""
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS each (
        id uuid, claim_no integer, status text, status_code integer, response_body text, error_message text,
        attempt_count integer, duration_ms integer, budget_used smallint, interruptions smallint,
        wait_s double precision, notable boolean, attempt json)
), stored AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = given.status, status_code = given.status_code,
        response_body = CASE WHEN delivery.error_message = :erased THEN NULL ELSE given.response_body END,
        error_message = given.error_message, attempt_count = given.attempt_count, duration_ms = given.duration_ms,
        budget_used = given.budget_used, interruptions = given.interruptions,
        lease_expires_at = NULL, claimed_at = NULL,
        next_attempt_at = CASE WHEN given.status = 'pending' THEN now() + make_interval(secs => given.wait_s) END,
        delivered_at = CASE WHEN given.status = 'succeeded' THEN now() END
    FROM given
    WHERE delivery.id = given.id AND delivery.claim_no = given.claim_no AND delivery.status = 'sending'
    RETURNING delivery.id, delivery.webhook_id, delivery.response_body, given.notable
), recorded AS (
    INSERT INTO noteflow.webhook_attempts
        (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message)
    SELECT given.id, given.attempt_count, attempt.started_at, attempt.duration_ms, attempt.status_code,
           stored.response_body, attempt.error_kind, attempt.error_message
    FROM stored JOIN given USING (id) CROSS JOIN LATERAL json_to_record(given.attempt) AS attempt (
        started_at timestamptz, duration_ms integer, status_code integer, error_kind text, error_message text)
    WHERE given.attempt IS NOT NULL
    ON CONFLICT (delivery_id, attempt_number) DO NOTHING
), freed AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health AS health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM stored)) AND awaiting_room AND NOT {_ILL}
    ORDER BY webhook_id
    FOR NO KEY UPDATE
), turning AS (
    UPDATE noteflow.webhook_health SET turn_at = clock_timestamp(), awaiting_room = false
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed))
)
SELECT stored.id, stored.notable OR coalesce({_ILL}, false) AS looked_at,
       stored.webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed)) AS turns
FROM stored LEFT JOIN noteflow.webhook_health AS health USING (webhook_id)
""")  # noqa: S608 - put together from constants of this file

#: Locks deliveries that a worker holds past its lease.
EXPIRED = text("""
SELECT delivery.*, now() AS moment FROM noteflow.webhook_deliveries AS delivery
WHERE status = 'sending' AND lease_expires_at <= now()
ORDER BY lease_expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED
""")

#: Ends a delivery whose row can't be settled as others are, and touches as little of it as it can.
ABANDON = text("""
UPDATE noteflow.webhook_deliveries
SET status = 'dead', error_message = :message, lease_expires_at = NULL, claimed_at = NULL, next_attempt_at = NULL,
    delivered_at = NULL
WHERE id = :id AND status = 'sending'
""")

#: Not ``now()``, which is when the transaction began.
NOW = text("SELECT clock_timestamp()")

WAITS = text("""
SELECT id, next_attempt_at - now() AS wait FROM noteflow.webhook_deliveries
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND NOT held AND next_attempt_at > now()
""")

UNDISPATCHED = text("""
SELECT id FROM noteflow.webhook_events
WHERE dispatched_at IS NULL AND created_at <= now() - CAST(:age AS interval)
ORDER BY created_at, id
LIMIT :limit
""")

DUE = text("""
SELECT id FROM noteflow.webhook_deliveries
WHERE status = 'pending' AND NOT held AND next_attempt_at <= now() - CAST(:age AS interval)
ORDER BY next_attempt_at
LIMIT :limit
""")
