WITH unhurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), 
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
, inserted AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, error_message, next_attempt_at, held, forced)
    SELECT workspace_id, webhook_id, event_id, event_type, CASE WHEN enabled THEN 'pending' ELSE 'skipped' END,
           CASE WHEN NOT enabled THEN CAST(:disabled AS text) END, CASE WHEN enabled THEN now() END, held,
           enabled AND forced
    FROM ranked
    ON CONFLICT (event_id, webhook_id) DO NOTHING
    RETURNING id, event_id, webhook_id, status, held
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

SELECT ARRAY(
           SELECT inserted.id FROM inserted JOIN ranked USING (event_id, webhook_id)
           WHERE inserted.status = 'pending' AND NOT inserted.held
           ORDER BY ranked.nth, ranked.place
       ) AS delivery_ids, EXISTS (SELECT FROM ranked WHERE held AND NOT slow) AS throttled, EXISTS (SELECT FROM ranked WHERE held AND slow) AS throttled_slow, (SELECT count(*) FROM closed WHERE dispatched_at IS NOT NULL) AS events, EXISTS (SELECT FROM cut) OR (SELECT count(*) FROM others) = :others AS more FROM unhurried
