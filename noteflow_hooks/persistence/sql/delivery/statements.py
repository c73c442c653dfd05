"""Statements that settle, and that look for what was lost: a whole batch in one round trip, whatever its size.

Times are the database's own. ``SKIP LOCKED`` lets any number of workers run them side by side.
"""

from __future__ import annotations

from sqlalchemy import text

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
    RETURNING delivery.id, delivery.claim_no, delivery.webhook_id, delivery.response_body, given.notable
), recorded AS (
    INSERT INTO noteflow.webhook_attempts
        (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message,
         redialled)
    SELECT given.id, given.attempt_count, attempt.started_at, attempt.duration_ms, attempt.status_code,
           stored.response_body, attempt.error_kind, attempt.error_message, attempt.redialled
    FROM stored JOIN given USING (id, claim_no) CROSS JOIN LATERAL json_to_record(given.attempt) AS attempt (
        started_at timestamptz, duration_ms integer, status_code integer, error_kind text, error_message text,
        redialled boolean)
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
SELECT stored.id, stored.claim_no, stored.notable OR coalesce({_ILL}, false) AS looked_at,
       stored.webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed)) AS turns
FROM stored LEFT JOIN noteflow.webhook_health AS health USING (webhook_id)
""")  # noqa: S608 - put together from constants of this file

#: Locks deliveries that a worker holds past its lease. Right after the server's start those from before it are left to
#: their workers, which have tried to store results all the while: what is taken from them would be sent twice.
EXPIRED = text("""
SELECT delivery.*, now() AS moment FROM noteflow.webhook_deliveries AS delivery
WHERE status = 'sending' AND lease_expires_at <= now()
  AND (claimed_at >= pg_postmaster_start_time() OR pg_postmaster_start_time() <= now() - interval '5 s')
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
