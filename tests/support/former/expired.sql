SELECT delivery.*, now() AS moment FROM noteflow.webhook_deliveries AS delivery
WHERE status = 'sending' AND lease_expires_at <= now()
  AND (claimed_at >= pg_postmaster_start_time() OR pg_postmaster_start_time() <= now() - interval '5 s')
ORDER BY lease_expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED
