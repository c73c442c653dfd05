WITH 
named AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled') AND position('\u' IN payload::text) = 0
                THEN payload ->> 'webhook_id' END AS about
    FROM noteflow.webhook_events
    WHERE id = ANY(CAST(:ids AS uuid[])) AND dispatched_at IS NULL
    FOR UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT id, workspace_id, event_type, target_webhook_id, created_at, dispatch_cursor,
           CASE WHEN event_type IN ('webhook.failing', 'webhook.disabled') AND position('\u' IN payload::text) = 0
                THEN payload ->> 'webhook_id' END AS about
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
           picked.target_webhook_id IS NOT NULL AS forced, matching.id AS webhook_id, matching.enabled,
           matching.throttled, matching.paused, matching.slow, matching.timeout_ms
    FROM picked CROSS JOIN LATERAL (
        SELECT config.id, config.enabled, 
    coalesce(health.turn_at, health.open_until, health.slow_since, config.paused_at) IS NOT NULL
    OR health.ramp IS NOT NULL OR config.rate_limit_per_s IS NOT NULL
 AS throttled, config.paused_at IS NOT NULL AS paused,
               health.slow_since IS NOT NULL AS slow, config.timeout_ms
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
              AND (throttled OR row_number() OVER (PARTITION BY webhook_id ORDER BY place) > :burst) AS held
    FROM made
)
, waiting AS MATERIALIZED (
    SELECT event_id, webhook_id, forced, nth, place FROM ranked
    WHERE enabled AND NOT held AND NOT EXISTS (SELECT FROM ranked WHERE held)
    ORDER BY nth, place
    LIMIT :claim
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
, selected AS MATERIALIZED (
    SELECT event_id, webhook_id FROM (
        SELECT waiting.event_id, waiting.webhook_id, waiting.forced OR row_number() OVER (
                   PARTITION BY waiting.webhook_id ORDER BY waiting.forced, waiting.place
               ) <= room.places AS may_go
        FROM waiting JOIN room USING (webhook_id)
    ) AS first WHERE may_go
), owned AS MATERIALIZED (
    SELECT ranked.*, selected.event_id IS NOT NULL AS may_go
    FROM ranked LEFT JOIN selected ON selected.event_id = ranked.event_id AND selected.webhook_id = ranked.webhook_id
), inserted AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, error_message, next_attempt_at, held, forced,
         claim_no, claimed_at, lease_expires_at)
    SELECT workspace_id, webhook_id, event_id, event_type,
           CASE WHEN may_go THEN 'sending' WHEN enabled THEN 'pending' ELSE 'skipped' END,
           CASE WHEN NOT enabled THEN CAST(:disabled AS text) END,
           CASE WHEN enabled AND NOT may_go THEN now() END, held,
           enabled AND forced AND NOT may_go,
           CASE WHEN may_go THEN 1 ELSE 0 END, CASE WHEN may_go THEN clock_timestamp() END,
           CASE WHEN may_go THEN clock_timestamp() + make_interval(secs => least(greatest(timeout_ms, 100), 30000) / 1000.0 + :slack_s) END
    FROM owned
    ON CONFLICT (event_id, webhook_id) DO NOTHING
    RETURNING *
), claimed AS (
    SELECT * FROM inserted WHERE status = 'sending'
), 
locked AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM ranked WHERE held AND NOT paused))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
), scheduled AS (
    UPDATE noteflow.webhook_health AS health SET turn_at = coalesce(health.turn_at, now())
    WHERE health.webhook_id = ANY(ARRAY(SELECT webhook_id FROM locked))
), closed AS (
    UPDATE noteflow.webhook_events AS event
    SET dispatched_at = CASE WHEN cut.place = picked.place THEN NULL ELSE now() END,
        dispatch_cursor = CASE WHEN cut.place = picked.place THEN cut.webhook_id END
    FROM picked LEFT JOIN cut ON true
    WHERE event.id = picked.id AND (cut.place IS NULL OR picked.place <= cut.place)
    RETURNING event.dispatched_at
)

SELECT claimed.id AS id, claimed.webhook_id AS webhook_id, claimed.event_id AS event_id, claimed.event_type AS event_type, claimed.status_code AS status_code, claimed.response_body AS response_body, claimed.error_message AS error_message, least(greatest(claimed.attempt_count, 0), 2147483646) AS attempt_count, claimed.duration_ms AS duration_ms, least(greatest(claimed.budget_used, 0), 32766) AS budget_used, least(greatest(claimed.interruptions, 0), 32766) AS interruptions, claimed.claim_no AS claim_no, event.payload::text AS payload, event.target_webhook_id IS NOT NULL AS targeted, event.payload_erased_at IS NOT NULL AS erased, claimed.lease_expires_at AS lease_expires_at, claimed.created_at AS created_at, webhook.version AS version, NULL AS delivery_ids, NULL AS throttled, NULL AS throttled_slow, NULL AS events, NULL AS more FROM 
claimed
JOIN (
    SELECT id, xmin::text || ' ' || ctid::text AS version FROM noteflow.webhook_configs
    WHERE id = ANY(ARRAY(SELECT webhook_id FROM selected))
) AS webhook ON webhook.id = claimed.webhook_id
JOIN noteflow.webhook_events AS event ON event.id = claimed.event_id

UNION ALL
SELECT NULL AS id, NULL AS webhook_id, NULL AS event_id, NULL AS event_type, NULL AS status_code, NULL AS response_body, NULL AS error_message, NULL AS attempt_count, NULL AS duration_ms, NULL AS budget_used, NULL AS interruptions, NULL AS claim_no, NULL AS payload, NULL AS targeted, NULL AS erased, NULL AS lease_expires_at, NULL AS created_at, NULL AS version, ARRAY(
           SELECT inserted.id FROM inserted JOIN ranked USING (event_id, webhook_id)
           WHERE inserted.status = 'pending' AND NOT inserted.held
           ORDER BY ranked.nth, ranked.place
       ) AS delivery_ids, EXISTS (SELECT FROM ranked WHERE held AND NOT slow) AS throttled, EXISTS (SELECT FROM ranked WHERE held AND slow) AS throttled_slow, (SELECT count(*) FROM closed WHERE dispatched_at IS NOT NULL) AS events, EXISTS (SELECT FROM cut) OR (SELECT count(*) FROM others) = :others AS more
