WITH result AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS each (
        id uuid, claim_no integer, status text, status_code integer, response_body text, error_message text,
        attempt_count integer, duration_ms integer, budget_used smallint, interruptions smallint,
        wait_s double precision, notable boolean, attempt json)
), stored AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = result.status, status_code = result.status_code,
        response_body = CASE WHEN delivery.error_message = :erased THEN NULL ELSE result.response_body END,
        error_message = result.error_message, attempt_count = result.attempt_count, duration_ms = result.duration_ms,
        budget_used = result.budget_used, interruptions = result.interruptions,
        lease_expires_at = NULL, claimed_at = NULL,
        next_attempt_at = CASE WHEN result.status = 'pending' THEN now() + make_interval(secs => result.wait_s) END,
        delivered_at = CASE WHEN result.status = 'succeeded' THEN now() END
    FROM result
    WHERE delivery.id = result.id AND delivery.claim_no = result.claim_no AND delivery.status = 'sending'
    RETURNING delivery.id, delivery.claim_no, delivery.webhook_id, delivery.response_body, result.notable
), recorded AS (
    INSERT INTO noteflow.webhook_attempts
        (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message,
         redialled)
    SELECT result.id, result.attempt_count, attempt.started_at, attempt.duration_ms, attempt.status_code,
           stored.response_body, attempt.error_kind, attempt.error_message, attempt.redialled
    FROM stored JOIN result USING (id, claim_no) CROSS JOIN LATERAL json_to_record(result.attempt) AS attempt (
        started_at timestamptz, duration_ms integer, status_code integer, error_kind text, error_message text,
        redialled boolean)
    WHERE result.attempt IS NOT NULL
    ON CONFLICT (delivery_id, attempt_number) DO NOTHING
), freed AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health AS health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM stored)) AND awaiting_room AND NOT 
(health.failures > 0 OR health.ramp IS NOT NULL
 OR coalesce(health.open_until, health.slow_since, health.failing_since) IS NOT NULL)

    ORDER BY webhook_id
    FOR NO KEY UPDATE
), scheduled AS (
    UPDATE noteflow.webhook_health SET turn_at = clock_timestamp(), awaiting_room = false
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed))
)
SELECT stored.id AS id, stored.claim_no AS claim_no, stored.notable OR coalesce(
(health.failures > 0 OR health.ramp IS NOT NULL
 OR coalesce(health.open_until, health.slow_since, health.failing_since) IS NOT NULL)
, false) AS examined, stored.webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed)) AS has_slot
FROM stored LEFT JOIN noteflow.webhook_health AS health USING (webhook_id)
