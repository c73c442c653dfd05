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
), 
in_line AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(1852793958, line)
    FROM (SELECT DISTINCT hashtext(webhook_id::text) & 63 AS line FROM waiting ORDER BY line) AS lines
), endpoints AS MATERIALIZED (
    SELECT * FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM waiting)) AND (SELECT count(*) FROM in_line) > 0
    FOR NO KEY UPDATE SKIP LOCKED
), counted AS MATERIALIZED (
    SELECT * FROM noteflow.under_way(ARRAY(SELECT webhook_id FROM endpoints))
), room AS MATERIALIZED (
    SELECT config.id AS webhook_id, config.paused_at, health.slow_since,
           CASE WHEN NOT config.enabled OR config.deleted_at IS NOT NULL THEN :limit
                WHEN 
    coalesce(health.turn_at, health.open_until, health.slow_since, config.paused_at) IS NOT NULL
    OR health.ramp IS NOT NULL OR config.rate_limit_per_s IS NOT NULL
 THEN 0
                WHEN config.max_concurrency IS NULL AND counted.lagging >= 10 THEN 0
                ELSE coalesce(config.max_concurrency, :concurrency)::bigint - coalesce(counted.posts, 0) END AS places
    FROM noteflow.webhook_configs AS config LEFT JOIN endpoints AS health ON health.webhook_id = config.id
    LEFT JOIN counted ON counted.webhook_id = config.id
    WHERE config.id = ANY(ARRAY(SELECT webhook_id FROM waiting))
      AND (health.webhook_id IS NOT NULL
           OR NOT EXISTS (SELECT FROM noteflow.webhook_health WHERE webhook_id = config.id))
)
, ranked AS MATERIALIZED (
    SELECT waiting.id, waiting.webhook_id, room.paused_at, room.slow_since,
           waiting.forced OR row_number() OVER (
               PARTITION BY waiting.webhook_id ORDER BY waiting.forced, waiting.later, waiting.next_attempt_at
           ) <= room.places AS may_go
    FROM waiting JOIN room USING (webhook_id)
), selected AS MATERIALIZED (
    SELECT id, webhook_id FROM ranked WHERE may_go
), 
claimed AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = 'sending', claim_no = ((delivery.claim_no::bigint + 1) % 2147483648)::integer,
        next_attempt_at = NULL, held = false, forced = false, claimed_at = clock_timestamp(),
        lease_expires_at = clock_timestamp() + make_interval(secs => least(greatest(webhook.timeout_ms, 100), 30000) / 1000.0 + :slack_s)
    FROM (
        SELECT id, timeout_ms FROM noteflow.webhook_configs WHERE id = ANY(ARRAY(SELECT webhook_id FROM selected))
    ) AS webhook
    WHERE webhook.id = delivery.webhook_id AND delivery.id = ANY(ARRAY(SELECT id FROM selected))
    RETURNING delivery.*
), throttled AS (
    UPDATE noteflow.webhook_deliveries SET held = true
    WHERE id = ANY(ARRAY(SELECT id FROM ranked WHERE NOT may_go))
), scheduled AS (
    UPDATE noteflow.webhook_health SET turn_at = coalesce(turn_at, now())
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE NOT may_go AND paused_at IS NULL))
)
SELECT claimed.id AS id, claimed.webhook_id AS webhook_id, claimed.event_id AS event_id, claimed.event_type AS event_type, claimed.status_code AS status_code, claimed.response_body AS response_body, claimed.error_message AS error_message, least(greatest(claimed.attempt_count, 0), 2147483646) AS attempt_count, claimed.duration_ms AS duration_ms, least(greatest(claimed.budget_used, 0), 32766) AS budget_used, least(greatest(claimed.interruptions, 0), 32766) AS interruptions, claimed.claim_no AS claim_no, event.payload::text AS payload, event.target_webhook_id IS NOT NULL AS targeted, event.payload_erased_at IS NOT NULL AS erased, claimed.lease_expires_at AS lease_expires_at, claimed.created_at AS created_at, webhook.version AS version, report.throttled AS throttled, report.passed_over AS passed_over, report.slots_due AS slots_due, report.slow_slots_due AS slow_slots_due
FROM (
    SELECT (SELECT count(*) FROM ranked WHERE NOT may_go) AS throttled,
           (SELECT count(*) FROM named) < :limit AND EXISTS (
               SELECT FROM noteflow.webhook_deliveries
               WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND NOT held AND next_attempt_at <= now()
                 AND id <> ALL(ARRAY(SELECT id FROM ranked))
           ) OR EXISTS (
               SELECT FROM named WHERE webhook_id <> ALL(ARRAY(SELECT webhook_id FROM room))
           ) AS passed_over,
           EXISTS (SELECT FROM ranked WHERE NOT may_go AND paused_at IS NULL AND slow_since IS NULL)
           OR EXISTS (SELECT FROM noteflow.webhook_health WHERE turn_at <= now() AND slow_since IS NULL) AS slots_due,
           EXISTS (SELECT FROM ranked WHERE NOT may_go AND paused_at IS NULL AND slow_since IS NOT NULL)
           AS slow_slots_due
) AS report LEFT JOIN (
claimed
JOIN (
    SELECT id, xmin::text || ' ' || ctid::text AS version FROM noteflow.webhook_configs
    WHERE id = ANY(ARRAY(SELECT webhook_id FROM selected))
) AS webhook ON webhook.id = claimed.webhook_id
JOIN noteflow.webhook_events AS event ON event.id = claimed.event_id
) ON true
