"""Statements that look for what waits, and change nothing. Times are the database's own."""

from __future__ import annotations

from sqlalchemy import text

#: Not ``now()``, which is when the transaction began.
NOW = text("SELECT clock_timestamp()")

# rule of domain.deliveries.WebhookDelivery.is_due
WAITS = text("""
SELECT id, next_attempt_at - now() AS wait FROM noteflow.delivery_queue
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND NOT held AND next_attempt_at > now()
""")

UNDISPATCHED = text("""
SELECT id FROM noteflow.webhook_events
WHERE dispatched_at IS NULL AND created_at <= now() - CAST(:age AS interval)
ORDER BY created_at, id
LIMIT :limit
""")

# rule of domain.deliveries.WebhookDelivery.is_due
DUE = text("""
SELECT id FROM noteflow.delivery_queue
WHERE status = 'pending' AND NOT held AND next_attempt_at <= now() - CAST(:age AS interval)
ORDER BY next_attempt_at
LIMIT :limit
""")
