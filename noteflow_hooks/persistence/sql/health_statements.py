"""The statements about endpoints' health and their scheduling slots.

Health rows are locked in the order of the endpoints' ids, and after the deliveries that a transaction touches.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.domain.health.scheduling import STALLED_LIMIT
from noteflow_hooks.persistence.sql.limits import SLOTS_CONSIDERED
from noteflow_hooks.persistence.sql.moves import filed

#: How many POSTs an endpoint has under way. Those with a cap of their own and those in the slow lane may stall.
# rule of domain.health.load.in_flight
IN_FLIGHT = f"""
noteflow.in_flight(
    config.id,
    CASE WHEN config.max_concurrency IS NULL AND health.slow_since IS NULL THEN {STALLED_LIMIT} END
)
"""
#: Whether an endpoint's deliveries go in batches, or some of them wait as a batch, since they once did.
IS_BATCHED = """
(config.batch_max > 0
 OR EXISTS (SELECT FROM noteflow.delivery_queue WHERE webhook_id = config.id AND batch_id IS NOT NULL))
"""
#: The same count where a batch is one POST.
_REQUESTS_IN_FLIGHT = IN_FLIGHT.replace("noteflow.in_flight", "noteflow.requests_in_flight")

#: Locks endpoints that have a scheduling slot now, with how many POSTs each has under way. Every workspace's first one
#: comes before any workspace's second; among those, and within a workspace, who has waited longest comes first.
# rule of domain.health.slots.has_slot
# rule of domain.health.slots.in_fair_order
_SLOTS = f"""
WITH due AS MATERIALIZED (
    SELECT health.webhook_id, health.turn_at, config.workspace_id
    FROM noteflow.webhook_health AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE health.turn_at <= now() AND health.slow_since IS {{lane}}
    ORDER BY health.turn_at
    LIMIT {SLOTS_CONSIDERED}
), ranked AS (
    SELECT webhook_id, turn_at, row_number() OVER (PARTITION BY workspace_id ORDER BY turn_at) AS nth FROM due
), taken AS MATERIALIZED (
    SELECT health.* FROM ranked JOIN noteflow.webhook_health AS health USING (webhook_id)
    WHERE health.turn_at <= now() AND health.slow_since IS {{lane}}
    ORDER BY ranked.nth, ranked.turn_at
    LIMIT :endpoints
    FOR NO KEY UPDATE OF health SKIP LOCKED
)
SELECT health.*, now() AS moment, {IS_BATCHED} AS batched,
       CASE WHEN {IS_BATCHED} THEN {_REQUESTS_IN_FLIGHT} ELSE {IN_FLIGHT} END AS in_flight, config.*
FROM taken AS health JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
ORDER BY health.turn_at
"""  # noqa: S608 - put together from constants
QUICK_SLOTS = text(_SLOTS.format(lane="NULL"))
SLOW_SLOTS = text(_SLOTS.format(lane="NOT NULL"))

#: Locks the health of endpoints, in the order of their ids, with what it takes to apply results to it.
HEALTH = text("""
WITH locked AS MATERIALIZED (
    SELECT * FROM noteflow.webhook_health WHERE webhook_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
)
SELECT locked.*, now() AS moment, config.*
FROM locked JOIN noteflow.webhook_configs AS config ON config.id = locked.webhook_id
""")

#: Stores the health of endpoints whose rows are locked.
STORE_HEALTH = text("""
UPDATE noteflow.webhook_health AS health
SET turn_at = new.turn_at, awaiting_room = new.awaiting_room, gathering = new.gathering, failures = new.failures,
    failing_since = new.failing_since, last_failure_at = new.last_failure_at, warned_at = new.warned_at,
    open_until = new.open_until, opened = new.opened, probing_until = new.probing_until, ramp = new.ramp,
    slow_since = new.slow_since, quick = new.quick, rate_at = new.rate_at
FROM json_to_recordset(CAST(:rows AS json)) AS new (
    webhook_id uuid, turn_at timestamptz, awaiting_room boolean, gathering boolean, failures integer,
    failing_since timestamptz, last_failure_at timestamptz, warned_at timestamptz, open_until timestamptz,
    opened integer, probing_until timestamptz, ramp integer, slow_since timestamptz, quick integer, rate_at timestamptz)
WHERE health.webhook_id = new.webhook_id
""")

#: Locks the health of endpoints, in the order of their ids.
LOCK_HEALTH = text("""
SELECT webhook_id FROM noteflow.webhook_health WHERE webhook_id = ANY(CAST(:ids AS uuid[]))
ORDER BY webhook_id
FOR NO KEY UPDATE
""")

#: Adds to what endpoints' filters have failed on. Their health's rows are locked.
NOTE_FILTER_ERRORS = text("""
UPDATE noteflow.webhook_health AS health
SET filter_errors = least(health.filter_errors, 9000000000000000000) + failed.errors,
    filter_last_error = failed.last_error
FROM json_to_recordset(CAST(:rows AS json)) AS failed (webhook_id uuid, errors bigint, last_error text)
WHERE health.webhook_id = failed.webhook_id
""")

#: Disables an endpoint, unless a person has done so already.
DISABLE = text("""
UPDATE noteflow.webhook_configs SET enabled = false, disabled_reason = :reason
WHERE id = :webhook_id AND enabled AND deleted_at IS NULL
RETURNING id
""")

_SKIPPED: Final = {
    "status": "'skipped'",
    "error_message": "CAST(:message AS text)",
    "skip_reason": "CAST(:reason AS text)",
}
#: Skips what waits for an endpoint, up to a limit. What is claimed at this moment is passed over: its claim
#: finds the endpoint disabled.
# rule of domain.deliveries.WebhookDelivery.skipped
SKIP_WAITING = text(f"""
WITH waiting AS MATERIALIZED (
    SELECT id FROM noteflow.delivery_queue
    WHERE held = ANY('{{t,f}}') AND webhook_id = :webhook_id AND status = 'pending'
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM noteflow.delivery_queue WHERE id = ANY(ARRAY(SELECT id FROM waiting)) RETURNING *
), skipped AS (
    {filed("taken", _SKIPPED)}
)
SELECT id FROM taken
""")  # noqa: S608 - put together from constants

# rule of domain.health.slots.has_slot
_THROTTLED_IN = """
(SELECT count(*) FROM (
    SELECT FROM noteflow.webhook_health AS health CROSS JOIN LATERAL (
        SELECT FROM noteflow.delivery_queue AS delivery
        WHERE delivery.webhook_id = health.webhook_id AND delivery.status = 'pending' AND delivery.held
        LIMIT :limit
    ) AS held
    WHERE health.turn_at <= now() AND health.slow_since IS {lane}
    LIMIT :limit
) AS due)
"""
#: Counts the throttled deliveries of endpoints that have a slot now, quick and slow ones, each up to a limit.
COUNT_THROTTLED = text(
    f"SELECT {_THROTTLED_IN.format(lane='NULL')} AS quick, {_THROTTLED_IN.format(lane='NOT NULL')} AS slow"
)

#: Gives a slot to endpoints that have throttled deliveries and no slot: only a change by hand leaves one like that.
#: Steps from endpoint to endpoint through the index, however many deliveries each has.
# rule of domain.health.load.may_have_slot
GIVE_MISSING_SLOTS = text("""
WITH RECURSIVE holder AS (
    (SELECT webhook_id FROM noteflow.delivery_queue WHERE status = 'pending' AND held ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT delivery.webhook_id FROM noteflow.delivery_queue AS delivery
            WHERE delivery.status = 'pending' AND delivery.held AND delivery.webhook_id > holder.webhook_id
            ORDER BY delivery.webhook_id LIMIT 1)
    FROM holder WHERE holder.webhook_id IS NOT NULL
), missing AS MATERIALIZED (
    SELECT health.webhook_id FROM noteflow.webhook_health AS health
    JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM holder)) AND health.turn_at IS NULL
      AND (coalesce(config.paused_at, config.unverified_since) IS NULL OR NOT config.enabled)
    ORDER BY health.webhook_id
    FOR NO KEY UPDATE OF health
)
UPDATE noteflow.webhook_health AS health SET turn_at = coalesce(health.turn_at, now())
WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM missing))
""")
