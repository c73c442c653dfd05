"""The statements that claim: each makes a worker the owner of a batch of deliveries, in one round trip.

Times are the database's own. ``SKIP LOCKED`` lets any number of workers run them side by side. Ids that a statement has
found go on as arrays: a join would have the planner, which can't know how few they are, read whole tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.domain.health.scheduling import STALLED_LIMIT
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.persistence.sql.bounds import bounded_sql
from noteflow_hooks.persistence.sql.conditions import one_of
from noteflow_hooks.persistence.sql.delivery.endpoint_cache import VERSION
from noteflow_hooks.persistence.sql.delivery.rows import (
    CLAIM_COLUMNS,
    ClaimReport,
    ClaimRow,
    FloodedReport,
    columns,
    no_columns,
)
from noteflow_hooks.persistence.sql.health_statements import IN_FLIGHT
from noteflow_hooks.persistence.sql.limits import CLAIM_LINES
from noteflow_hooks.persistence.sql.renderings import rendering_sql

#: Where an endpoint's deliveries are claimed in its slots whatever its health is.
# rule of domain.options.EndpointOptions.is_scheduled
SCHEDULED: Final = "config.batch_max <> 0 OR config.ordering <> 'none'"
#: Where an endpoint has a rate limit, of its own or its vendor's.
# rule of domain.webhooks.WebhookConfig.rate_per_s
PACED: Final = f"config.rate_limit_per_s IS NOT NULL OR {one_of('config.format', PRESETS)}"
#: Since when an endpoint's deliveries wait, whatever its health.
# rule of domain.webhooks.WebhookConfig.keeps_back_since
KEEPS_BACK_SINCE: Final = "coalesce(config.paused_at, config.unverified_since)"
#: What throttles an endpoint, so that its deliveries are claimed in its scheduling slots alone.
# rule of domain.health.state.EndpointHealth.is_throttled
THROTTLED = f"""
    coalesce(health.turn_at, health.open_until, health.slow_since, {KEEPS_BACK_SINCE}) IS NOT NULL
    OR health.ramp IS NOT NULL OR {PACED} OR {SCHEDULED}
"""
#: Where whole batches of an endpoint may go as they are dispatched: nothing else throttles it or waits for room.
# rule of domain.health.load.leases_batches
LEASES_BATCHES = f"""
    config.enabled AND config.batch_max <> 0 AND config.ordering = 'none'
    AND health.awaiting_room IS NOT TRUE
    AND coalesce(health.open_until, health.slow_since, {KEEPS_BACK_SINCE}) IS NULL AND health.ramp IS NULL
    AND NOT ({PACED})
"""


def lease_end(timeout_ms: str, now: str = "clock_timestamp()") -> str:
    """Return when a claim's lease ends, for that column. A timeout out of bounds counts as the nearest within them."""
    # rule of domain.webhooks.WebhookConfig.lease
    allowed = bounded_sql(timeout_ms, "timeout_ms")
    return f"{now} + make_interval(secs => {allowed} / 1000.0 + :slack_s)"


#: Makes this worker the owner of the deliveries in ``selected``. Where a row that was changed by hand has the highest
#: claim number, the next one is 0: the statement would fail otherwise, for all deliveries.
# rule of domain.deliveries.WebhookDelivery.claimed
# rule of domain.deliveries.WebhookDelivery.is_begun
def claimed(changes: str = "", source: str = "", where: str = "") -> str:
    """Return the part that claims ``selected``, with further changes by what comes from a source beside."""
    return f"""
claimed AS (
    UPDATE noteflow.delivery_queue AS delivery
    SET status = 'sending', claim_no = ((delivery.claim_no::bigint + 1) % 2147483648)::integer,
        next_attempt_at = NULL, held = false, forced = false, claimed_at = clock_timestamp(),
        lease_expires_at = {lease_end("webhook.timeout_ms")},
        rendering = CASE WHEN delivery.rendering IS NOT NULL OR delivery.budget_used > 0 OR delivery.interruptions > 0
                         THEN delivery.rendering ELSE webhook.rendering END{changes}
    FROM (
        SELECT id, timeout_ms, {rendering_sql("webhook_configs")} AS rendering FROM noteflow.webhook_configs
        WHERE id = ANY(ARRAY(SELECT webhook_id FROM selected))
    ) AS webhook{source}
    WHERE webhook.id = delivery.webhook_id AND delivery.id = ANY(ARRAY(SELECT id FROM selected)){where}
    RETURNING delivery.*
)"""  # noqa: S608 - put together from constants of this file


_CLAIMED: Final = claimed()
#: Where a claim's columns come from.
CLAIM_SOURCE = f"""
claimed
JOIN (
    SELECT id, {VERSION} AS version FROM noteflow.webhook_configs
    WHERE id = ANY(ARRAY(SELECT webhook_id FROM selected))
) AS webhook ON webhook.id = claimed.webhook_id
JOIN noteflow.webhook_events AS event ON event.id = claimed.event_id
"""  # noqa: S608 - put together from constants

#: The first number of the advisory locks that claims take, which tells them from other locks. Claims of the same
#: endpoints go one after the other. None waits long: each is a statement by itself, and the server ends it whatever
#: becomes of its worker. Endpoints share a small number of locks, and all claims take those in the same order.
_CLAIMS: Final = 1_852_793_958


#: How many more deliveries may go to each endpoint that has some in ``waiting``. The endpoints' health is locked before
#: their POSTs are counted: so all workers together keep each endpoint's cap. An endpoint that something other than a
#: claim has locked is left out, so that it holds up no other.
# rule of domain.health.load.claimable_at_once
# rule of domain.health.load.in_flight
def room(*, under_way: str = "under_way", throttled: str = THROTTLED, awaited: str = "") -> str:
    """Return the steps, by a function that counts POSTs and by what throttles an endpoint.

    ``awaited`` selects endpoints whose health is waited for, a moment at the most, where somebody else has locked it.
    """
    patient, after = "", "in_line"
    if awaited:
        after = "patient"
        patient = f""", patient AS MATERIALIZED (
    SELECT noteflow.await_health(ARRAY({awaited})) FROM (SELECT count(*) FROM in_line) AS after
)"""  # noqa: S608 - as below
    return f"""
in_line AS MATERIALIZED (
    SELECT pg_advisory_xact_lock({_CLAIMS}, line)
    FROM (SELECT DISTINCT hashtext(webhook_id::text) & {CLAIM_LINES - 1} AS line FROM waiting ORDER BY line) AS lines
){patient}, endpoints AS MATERIALIZED (
    SELECT * FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM waiting)) AND (SELECT count(*) FROM {after}) > 0
    FOR NO KEY UPDATE SKIP LOCKED
), counted AS MATERIALIZED (
    SELECT * FROM noteflow.{under_way}(ARRAY(SELECT webhook_id FROM endpoints))
), room AS MATERIALIZED (
    SELECT config.id AS webhook_id, {KEEPS_BACK_SINCE} AS paused_at, health.slow_since,
           CASE WHEN NOT config.enabled OR config.deleted_at IS NOT NULL THEN :limit
                WHEN {throttled} THEN 0
                WHEN config.max_concurrency IS NULL AND counted.lagging >= {STALLED_LIMIT} THEN 0
                ELSE coalesce(config.max_concurrency, :concurrency)::bigint - coalesce(counted.posts, 0) END AS places
    FROM noteflow.webhook_configs AS config LEFT JOIN endpoints AS health ON health.webhook_id = config.id
    LEFT JOIN counted ON counted.webhook_id = config.id
    WHERE config.id = ANY(ARRAY(SELECT webhook_id FROM waiting))
      AND (health.webhook_id IS NOT NULL
           OR NOT EXISTS (SELECT FROM noteflow.webhook_health WHERE webhook_id = config.id))
)
"""  # noqa: S608 - put together from constants of this file


ROOM: Final = room()

#: The named ones that are due. With an equals sign the index of all that are due could be gone through for them.
# rule of domain.deliveries.WebhookDelivery.is_due
_NAMED = "id = ANY(CAST(:ids AS uuid[])) AND status LIKE 'pending' AND NOT held AND next_attempt_at <= now()"
#: Claims due deliveries of endpoints that are not throttled. What an endpoint has no room for is throttled from then
#: on; what is for an endpoint that somebody else has locked is passed over. Each row has the report beside its claim;
#: where nothing was claimed, there is one row with the report alone.
# rule of domain.deliveries.WebhookDelivery.is_due
CLAIM = text(f"""
WITH named AS MATERIALIZED (
    SELECT id, webhook_id, next_attempt_at, forced, 0 AS later FROM noteflow.delivery_queue
    WHERE {_NAMED}
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, webhook_id, next_attempt_at, forced, 1 AS later FROM noteflow.delivery_queue
    WHERE status = 'pending' AND NOT held AND next_attempt_at <= now() AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY next_attempt_at
    LIMIT greatest(0, :limit - (SELECT count(*) FROM named))
    FOR UPDATE SKIP LOCKED
), waiting AS MATERIALIZED (
    SELECT * FROM named UNION ALL SELECT * FROM others
), {ROOM}, ranked AS MATERIALIZED (
    SELECT waiting.id, waiting.webhook_id, room.paused_at, room.slow_since,
           waiting.forced OR row_number() OVER (
               PARTITION BY waiting.webhook_id ORDER BY waiting.forced, waiting.later, waiting.next_attempt_at
           ) <= room.places AS may_go
    FROM waiting JOIN room USING (webhook_id)
), selected AS MATERIALIZED (
    SELECT id, webhook_id FROM ranked WHERE may_go
), {_CLAIMED}, throttled AS (
    UPDATE noteflow.delivery_queue SET held = true
    WHERE id = ANY(ARRAY(SELECT id FROM ranked WHERE NOT may_go))
), scheduled AS (
    UPDATE noteflow.webhook_health SET turn_at = CASE WHEN gathering THEN now() ELSE coalesce(turn_at, now()) END
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE NOT may_go AND paused_at IS NULL))
)
SELECT {CLAIM_COLUMNS}, {columns(ClaimReport, table="report")}
FROM (
    SELECT (SELECT count(*) FROM ranked WHERE NOT may_go) AS throttled,
           (SELECT count(*) FROM named) < :limit AND EXISTS (
               SELECT FROM noteflow.delivery_queue
               WHERE {_NAMED} AND id <> ALL(ARRAY(SELECT id FROM ranked))
           ) OR EXISTS (
               SELECT FROM named WHERE webhook_id <> ALL(ARRAY(SELECT webhook_id FROM room))
           ) AS passed_over,
           EXISTS (SELECT FROM ranked WHERE NOT may_go AND paused_at IS NULL AND slow_since IS NULL)
           OR EXISTS (SELECT FROM noteflow.webhook_health WHERE turn_at <= now() AND slow_since IS NULL) AS slots_due,
           EXISTS (SELECT FROM ranked WHERE NOT may_go AND paused_at IS NULL AND slow_since IS NOT NULL)
           AS slow_slots_due
) AS report LEFT JOIN ({CLAIM_SOURCE}) ON true
""")  # noqa: S608 - put together from constants of this file

#: Claims so many throttled deliveries of each of these endpoints, whose health is locked, those due longest first.
CLAIM_THROTTLED = text(f"""
WITH share AS (
    SELECT * FROM unnest(CAST(:webhook_ids AS uuid[]), CAST(:counts AS integer[])) AS each (webhook_id, places)
), selected AS MATERIALIZED (
    SELECT waiting.id, share.webhook_id FROM share CROSS JOIN LATERAL (
        SELECT id FROM noteflow.delivery_queue
        WHERE webhook_id = share.webhook_id AND status = 'pending' AND held
        ORDER BY next_attempt_at
        LIMIT share.places
        FOR UPDATE SKIP LOCKED
    ) AS waiting
), {_CLAIMED}
SELECT {CLAIM_COLUMNS} FROM {CLAIM_SOURCE}
""")  # noqa: S608 - put together from constants of this file

#: Where nothing but the number of its deliveries throttles an endpoint.
# rule of domain.health.load.is_merely_flooded
_FLOODED = f"""
    config.enabled AND config.deleted_at IS NULL
    AND coalesce(health.open_until, health.probing_until, {KEEPS_BACK_SINCE}) IS NULL
    AND health.ramp IS NULL AND NOT ({PACED}) AND NOT ({SCHEDULED})
    AND NOT EXISTS (SELECT FROM noteflow.delivery_queue WHERE webhook_id = config.id AND batch_id IS NOT NULL)
"""
#: Claims in the slots of all endpoints that are merely flooded, where the one that has waited longest is such a one.
#: Each endpoint's first delivery comes before any endpoint's second. The last row has the report alone: when these
#: endpoints have their next slots, and whether others have a slot now.
# rule of domain.health.slots.has_slot
# rule of domain.health.scheduling.after_slot
CLAIM_FLOODED = text(f"""
WITH due AS MATERIALIZED (
    SELECT health.webhook_id, health.turn_at, {_FLOODED} AS flooded
    FROM noteflow.webhook_health AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE health.turn_at <= now() AND health.slow_since IS NULL
    ORDER BY health.turn_at
    LIMIT :endpoints
), in_line AS MATERIALIZED (
    SELECT pg_advisory_xact_lock({_CLAIMS}, line)
    FROM (SELECT DISTINCT hashtext(webhook_id::text) & {CLAIM_LINES - 1} AS line FROM due ORDER BY line) AS lines
    WHERE (SELECT flooded FROM due ORDER BY turn_at LIMIT 1)
), locked AS MATERIALIZED (
    SELECT health.* FROM noteflow.webhook_health AS health
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM due WHERE flooded))
      AND health.turn_at <= clock_timestamp() AND health.slow_since IS NULL AND (SELECT count(*) FROM in_line) > 0
    ORDER BY health.webhook_id
    FOR NO KEY UPDATE SKIP LOCKED
), rooms AS MATERIALIZED (
    SELECT health.webhook_id, health.turn_at,
           greatest(1, coalesce(config.max_concurrency, :concurrency))::bigint - {IN_FLIGHT} AS room
    FROM locked AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE {_FLOODED}
), waiting AS MATERIALIZED (
    SELECT rooms.webhook_id, rooms.turn_at, held.id,
           row_number() OVER (PARTITION BY rooms.webhook_id ORDER BY held.next_attempt_at) AS nth
    FROM rooms CROSS JOIN LATERAL (
        SELECT id, next_attempt_at FROM noteflow.delivery_queue
        WHERE webhook_id = rooms.webhook_id AND status = 'pending' AND held
        ORDER BY next_attempt_at
        LIMIT greatest(0, least(rooms.room, :limit))
    ) AS held
), dealt AS MATERIALIZED (
    SELECT id FROM waiting ORDER BY nth, turn_at LIMIT :limit
), selected AS MATERIALIZED (
    SELECT id, webhook_id FROM noteflow.delivery_queue
    WHERE id = ANY(ARRAY(SELECT id FROM dealt)) AND status = 'pending' AND held
    FOR UPDATE SKIP LOCKED
), {_CLAIMED}, counts AS MATERIALIZED (
    SELECT rooms.webhook_id, rooms.room,
           (SELECT count(*) FROM waiting WHERE webhook_id = rooms.webhook_id) AS seen,
           (SELECT count(*) FROM selected WHERE webhook_id = rooms.webhook_id) AS taken
    FROM rooms
), noted AS (
    UPDATE noteflow.webhook_health AS health
    SET turn_at = CASE WHEN counts.taken >= counts.room THEN clock_timestamp() + make_interval(secs => :poll_s)
                       WHEN counts.taken < counts.seen OR counts.seen >= :limit THEN clock_timestamp() END,
        awaiting_room = counts.taken >= counts.room
    FROM counts WHERE health.webhook_id = counts.webhook_id
    RETURNING health.webhook_id, health.turn_at - clock_timestamp() AS wait
)
SELECT {CLAIM_COLUMNS}, {no_columns(FloodedReport)} FROM {CLAIM_SOURCE}
UNION ALL
SELECT {no_columns(ClaimRow)},
       ARRAY(SELECT wait FROM noted WHERE wait IS NOT NULL) AS waits,
       EXISTS (SELECT FROM due WHERE NOT flooded) AS slots_due
""")  # noqa: S608 - put together from constants of this file
