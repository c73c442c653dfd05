"""Statements that do a whole batch in one round trip, whatever its size; most are the workers'.

Times are the database's own. ``SKIP LOCKED`` lets any number of workers run them side by side.
"""

from __future__ import annotations

from sqlalchemy import text

#: Makes deliveries of events. An endpoint must have been there before the event, and is not told of its own trouble.
#: Rows come in the order of the events, then of the endpoints' ids, and are cut at ``:limit``. Events before the cut
#: are finished with; the one that it goes through remembers the endpoint it reached.
DISPATCH = text("""
WITH named AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled') THEN payload ->> 'webhook_id' END AS about
    FROM noteflow.webhook_events
    WHERE id = ANY(CAST(:ids AS uuid[])) AND dispatched_at IS NULL
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled') THEN payload ->> 'webhook_id' END AS about
    FROM noteflow.webhook_events
    WHERE dispatched_at IS NULL AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY created_at, id
    LIMIT :others
    FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY created_at, id) AS place
    FROM (SELECT * FROM named UNION ALL SELECT * FROM others) AS waiting
), made AS MATERIALIZED (
    SELECT picked.place, picked.id AS event_id, picked.workspace_id, picked.event_type, matching.id AS webhook_id,
           matching.enabled
    FROM picked CROSS JOIN LATERAL (
        SELECT id, enabled
        FROM noteflow.webhook_configs
        WHERE workspace_id = picked.workspace_id AND deleted_at IS NULL AND created_at <= picked.created_at
          AND id > coalesce(picked.dispatch_cursor, '00000000-0000-0000-0000-000000000000')
          AND CASE WHEN picked.target_webhook_id IS NULL THEN picked.event_type = ANY(events)
                   ELSE id = picked.target_webhook_id END
          AND id::text IS DISTINCT FROM picked.about
        ORDER BY id
        LIMIT :limit
    ) AS matching
    ORDER BY picked.place, matching.id
    LIMIT :limit
), cut AS (
    SELECT place, webhook_id FROM made WHERE (SELECT count(*) FROM made) = :limit
    ORDER BY place DESC, webhook_id DESC LIMIT 1
), inserted AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, error_message, next_attempt_at)
    SELECT workspace_id, webhook_id, event_id, event_type, CASE WHEN enabled THEN 'pending' ELSE 'skipped' END,
           CASE WHEN NOT enabled THEN CAST(:disabled AS text) END, CASE WHEN enabled THEN now() END
    FROM made
    ON CONFLICT (event_id, webhook_id) DO NOTHING
    RETURNING id, status
), closed AS (
    UPDATE noteflow.webhook_events AS event
    SET dispatched_at = CASE WHEN cut.place = picked.place THEN NULL ELSE now() END,
        dispatch_cursor = CASE WHEN cut.place = picked.place THEN cut.webhook_id END
    FROM picked LEFT JOIN cut ON true
    WHERE event.id = picked.id AND (cut.place IS NULL OR picked.place <= cut.place)
    RETURNING event.dispatched_at
)
SELECT ARRAY(SELECT id FROM inserted WHERE status = 'pending') AS delivery_ids,
       (SELECT count(*) FROM closed WHERE dispatched_at IS NOT NULL) AS events,
       EXISTS (SELECT FROM cut) OR (SELECT count(*) FROM others) = :others AS more
""")

#: Takes due deliveries for this worker and reads all that their POSTs need.
CLAIM = text("""
WITH named AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_deliveries
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND next_attempt_at <= now()
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_deliveries
    WHERE status = 'pending' AND next_attempt_at <= now() AND id <> ALL(CAST(:ids AS uuid[]))
    ORDER BY next_attempt_at
    LIMIT greatest(0, :limit - (SELECT count(*) FROM named))
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = 'sending', claim_no = delivery.claim_no + 1, next_attempt_at = NULL, claimed_at = clock_timestamp(),
        lease_expires_at = clock_timestamp() + make_interval(secs => webhook.timeout_ms / 1000.0 + :slack_s)
    FROM noteflow.webhook_configs AS webhook
    WHERE webhook.id = delivery.webhook_id
      AND delivery.id IN (SELECT id FROM named UNION ALL SELECT id FROM others)
    RETURNING delivery.*
)
SELECT claimed.id AS delivery_id, claimed.event_id, claimed.status, claimed.status_code, claimed.response_body,
       claimed.error_message, claimed.attempt_count, claimed.duration_ms, claimed.lease_expires_at,
       claimed.created_at AS delivery_created_at, claimed.budget_used, claimed.interruptions, claimed.claim_no,
       claimed.event_type, event.payload::text AS payload, event.target_webhook_id, webhook.*
FROM claimed
JOIN noteflow.webhook_configs AS webhook ON webhook.id = claimed.webhook_id
JOIN noteflow.webhook_events AS event ON event.id = claimed.event_id
""")

#: Stores the next state of claimed deliveries, each only under the claim it was made for, and their attempts.
SETTLE = text("""
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS each (
        id uuid, claim_no integer, status text, status_code integer, response_body text, error_message text,
        attempt_count integer, duration_ms integer, budget_used smallint, interruptions smallint,
        wait_s double precision, attempt json)
), stored AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = given.status, status_code = given.status_code, response_body = given.response_body,
        error_message = given.error_message, attempt_count = given.attempt_count, duration_ms = given.duration_ms,
        budget_used = given.budget_used, interruptions = given.interruptions,
        lease_expires_at = NULL, claimed_at = NULL,
        next_attempt_at = CASE WHEN given.status = 'pending' THEN now() + make_interval(secs => given.wait_s) END,
        delivered_at = CASE WHEN given.status = 'succeeded' THEN now() END
    FROM given
    WHERE delivery.id = given.id AND delivery.claim_no = given.claim_no AND delivery.status = 'sending'
    RETURNING delivery.id
), recorded AS (
    INSERT INTO noteflow.webhook_attempts
        (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message)
    SELECT given.id, given.attempt_count, attempt.started_at, attempt.duration_ms, attempt.status_code,
           attempt.response_body, attempt.error_kind, attempt.error_message
    FROM stored JOIN given USING (id) CROSS JOIN LATERAL json_to_record(given.attempt) AS attempt (
        started_at timestamptz, duration_ms integer, status_code integer, response_body text, error_kind text,
        error_message text)
    WHERE given.attempt IS NOT NULL
)
SELECT id FROM stored
""")

#: Locks deliveries that a worker holds past its lease.
EXPIRED = text("""
SELECT delivery.*, now() AS moment FROM noteflow.webhook_deliveries AS delivery
WHERE status = 'sending' AND lease_expires_at <= now()
ORDER BY lease_expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED
""")

WAITS = text("""
SELECT id, next_attempt_at - now() AS wait FROM noteflow.webhook_deliveries
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND next_attempt_at > now()
""")

UNDISPATCHED = text("""
SELECT id FROM noteflow.webhook_events
WHERE dispatched_at IS NULL AND created_at <= now() - CAST(:age AS interval)
ORDER BY created_at, id
LIMIT :limit
""")

DUE = text("""
SELECT id FROM noteflow.webhook_deliveries
WHERE status = 'pending' AND next_attempt_at <= now() - CAST(:age AS interval)
ORDER BY next_attempt_at
LIMIT :limit
""")

#: Gives recordings a sign of life. A server has thousands of them and little time. Rows are locked in the order of
#: their ids, so that two servers' updates can't wait for each other.
TOUCH = text("""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[])) AS each (id, seconds)
), living AS MATERIALIZED (
    SELECT id FROM noteflow.recordings WHERE id IN (SELECT id FROM given) AND ended_at IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE noteflow.recordings AS recording
SET seen_at = now(), duration_seconds = given.seconds
FROM given JOIN living USING (id)
WHERE recording.id = given.id
RETURNING recording.id
""")
