"""Statements that erase a meeting's payloads on request. They run one after another in one transaction.

Rows are locked in the order of their ids, events before deliveries. Dispatching and claiming pass locked rows by.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.persistence.sql.moves import filed

#: Erases the payloads; what was not dispatched, or only to a part, is dispatched with that.
ERASE_MEETING = text("""
WITH own AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_events
    WHERE workspace_id = :workspace_id AND meeting_id = :meeting_id AND payload_erased_at IS NULL
    ORDER BY id
    FOR UPDATE
)
UPDATE noteflow.webhook_events AS event
SET payload = '{}', payload_erased_at = now(), dispatched_at = coalesce(event.dispatched_at, now()),
    dispatch_cursor = NULL
FROM own WHERE event.id = own.id
RETURNING event.id
""")

_ERASED: Final = {
    "status": "'skipped'",
    "error_message": "CAST(:reason AS text)",
    "skip_reason": "NULL",
    "response_body": "NULL",
}
#: Skips what waits of these events in the queue, and marks what is under way with the reason; returns both as they
#: were. What is settled at that moment is waited for, and found by the statement after this one.
# rule of domain.deliveries.WebhookDelivery.erased
SKIP_QUEUED = text(f"""
WITH own AS MATERIALIZED (
    SELECT id, status FROM noteflow.delivery_queue WHERE event_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id
    FOR UPDATE
), taken AS (
    DELETE FROM noteflow.delivery_queue WHERE id = ANY(ARRAY(SELECT id FROM own WHERE status = 'pending')) RETURNING *
), skipped AS (
    {filed("taken", _ERASED)}
), marked AS (
    UPDATE noteflow.delivery_queue SET error_message = CAST(:reason AS text), response_body = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM own WHERE status = 'sending'))
)
SELECT id, status FROM own
""")  # noqa: S608 - put together from constants

#: Skips what waits of these events, and erases what receivers answered; returns the deliveries as they were. One that
#: is under way is marked with the reason: so its answer, which may repeat the payload, is not stored either. All are
#: locked, also those that don't change: who has claimed one, or sends it again, is waited for or sees the erasure.
# rule of domain.deliveries.WebhookDelivery.erased
SKIP_ERASED = text("""
WITH own AS MATERIALIZED (
    SELECT id, status FROM noteflow.webhook_deliveries WHERE event_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY id
    FOR NO KEY UPDATE
), changed AS (
    UPDATE noteflow.webhook_deliveries AS delivery
    SET status = CASE WHEN own.status = 'pending' THEN 'skipped' ELSE own.status END,
        error_message = CASE WHEN own.status IN ('pending', 'sending') THEN :reason ELSE delivery.error_message END,
        skip_reason = CASE WHEN own.status <> 'pending' THEN delivery.skip_reason END,
        response_body = NULL, next_attempt_at = NULL, held = false, forced = false
    FROM own
    WHERE delivery.id = own.id AND (own.status IN ('pending', 'sending') OR delivery.response_body IS NOT NULL)
)
SELECT id, status FROM own
""")

#: Erases what receivers answered to the batches that these deliveries were part of, which may repeat all of a batch's
#: events. Other members' rows are locked as those of the erased ones are.
ERASE_ANSWERS_TO_BATCHES = text("""
WITH attempts AS MATERIALIZED (
    SELECT id, delivery_id FROM noteflow.webhook_attempts
    WHERE batch_id = ANY(ARRAY(
        SELECT batch_id FROM noteflow.webhook_attempts
        WHERE delivery_id = ANY(CAST(:ids AS uuid[])) AND batch_id IS NOT NULL
    ))
), locked AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_deliveries WHERE id = ANY(ARRAY(SELECT delivery_id FROM attempts))
    ORDER BY id
    FOR NO KEY UPDATE
), deliveries AS (
    UPDATE noteflow.webhook_deliveries SET response_body = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM locked)) AND response_body IS NOT NULL
)
UPDATE noteflow.webhook_attempts SET response_body = NULL, response_headers = NULL
WHERE id = ANY(ARRAY(SELECT id FROM attempts)) AND num_nonnulls(response_body, response_headers) > 0
""")

#: Erases what receivers answered to attempts of these deliveries.
ERASE_ATTEMPTS = text("""
UPDATE noteflow.webhook_attempts SET response_body = NULL, response_headers = NULL
WHERE delivery_id = ANY(CAST(:ids AS uuid[])) AND num_nonnulls(response_body, response_headers) > 0
""")
