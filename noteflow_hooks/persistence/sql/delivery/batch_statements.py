"""The statements about batches: which wait, what could go with what, and the claim of all members at once.

Their caller holds the lock on the endpoint's health, so that nobody else claims of the same endpoint meanwhile. Times
are those after the lock: what was made before it is due by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.persistence.sql.delivery.claim_statements import CLAIM_SOURCE, lease_end
from noteflow_hooks.persistence.sql.delivery.rows import CLAIM_COLUMNS
from noteflow_hooks.persistence.sql.renderings import rendering_sql

if TYPE_CHECKING:
    from sqlalchemy import TextClause

#: Batches of an endpoint that are due, longest first, each with what is left of its members in the queue.
LIVE_BATCHES: Final = text(f"""
WITH due AS MATERIALIZED (
    SELECT batch_id, min(next_attempt_at) AS due_at FROM (
        SELECT batch_id, next_attempt_at FROM noteflow.delivery_queue
        WHERE webhook_id = :webhook_id AND batch_id IS NOT NULL AND status = '{DeliveryStatus.PENDING}'
          AND next_attempt_at <= clock_timestamp()
        ORDER BY next_attempt_at
        LIMIT :limit
    ) AS waiting
    GROUP BY batch_id
)
SELECT due.batch_id AS id, batch.members, batch.rendering, own.waiting, own.sending
FROM due LEFT JOIN noteflow.webhook_batches AS batch ON batch.id = due.batch_id
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(id) FILTER (WHERE status = '{DeliveryStatus.PENDING}'), '{{}}') AS waiting,
           count(*) FILTER (WHERE status = '{DeliveryStatus.SENDING}') AS sending
    FROM noteflow.delivery_queue WHERE batch_id = due.batch_id AND webhook_id = :webhook_id
) AS own
ORDER BY due.due_at, due.batch_id
""")  # noqa: S608 - put together from constants

#: Locks pending deliveries, but for those that somebody else has locked.
LOCK: Final = text(f"""
SELECT id FROM noteflow.delivery_queue
WHERE id = ANY(CAST(:ids AS uuid[])) AND status = '{DeliveryStatus.PENDING}'
FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - put together from constants

#: Dissolves the batches of deliveries that are locked.
# rule of domain.batches.without_batch
DISSOLVE: Final = text("""
UPDATE noteflow.delivery_queue SET batch_id = NULL, batch_limit = least(coalesce(batch_limit, :limit), :limit)
WHERE id = ANY(CAST(:ids AS uuid[]))
""")


def _fresh(among: str) -> TextClause:
    # rule of domain.deliveries.WebhookDelivery.is_begun
    return text(f"""
SELECT own.id AS delivery_id, own.created_at, own.budget_used, own.interruptions, own.batch_limit AS "limit",
       octet_length(event.payload::text) AS payload_bytes, event.target_webhook_id IS NOT NULL AS targeted,
       event.meeting_id, own.passes_filter IS TRUE AS has_passed,
       CASE WHEN own.rendering IS NOT NULL OR own.budget_used > 0 OR own.interruptions > 0
            THEN coalesce(own.rendering, '') END AS rendering
FROM (
    SELECT id, event_id, created_at, budget_used, interruptions, batch_limit, rendering, passes_filter, next_attempt_at
    FROM noteflow.delivery_queue
    WHERE webhook_id = :webhook_id AND status = '{DeliveryStatus.PENDING}' AND held AND batch_id IS NULL
      AND next_attempt_at <= clock_timestamp(){among}
    ORDER BY next_attempt_at, id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) AS own JOIN noteflow.webhook_events AS event ON event.id = own.event_id
ORDER BY own.next_attempt_at, own.id
""")  # noqa: S608 - put together from constants


#: Locks throttled deliveries that are due and belong to no batch, those due longest first.
FRESH: Final = _fresh("")
#: The same among some, at an endpoint that keeps an order: all others are past their place.
FRESH_AMONG: Final = _fresh(" AND id = ANY(CAST(:among AS uuid[]))")
#: Notes of each meeting how far an endpoint that keeps an order has been sent it, by what was just claimed.
NOTE_SENT: Final = text("""
UPDATE noteflow.meeting_orders AS kept SET sent = greatest(kept.sent, claimed.sequence)
FROM (
    SELECT ordered_meeting, max(sequence) AS sequence FROM noteflow.delivery_queue
    WHERE id = ANY(CAST(:ids AS uuid[])) AND ordered_meeting IS NOT NULL
    GROUP BY ordered_meeting
) AS claimed
WHERE kept.webhook_id = :webhook_id AND kept.meeting_id = claimed.ordered_meeting
""")

#: When the next batch of an endpoint comes due that waits for another attempt.
NEXT_DUE: Final = text(f"""
SELECT min(next_attempt_at) FROM noteflow.delivery_queue
WHERE webhook_id = :webhook_id AND batch_id IS NOT NULL AND status = '{DeliveryStatus.PENDING}'
  AND next_attempt_at > clock_timestamp()
""")  # noqa: S608 - put together from constants


#: Claims deliveries that are locked, each for its batch or for itself, and stores the batches that are new. All have
#: one lease, so that it ends for the members of a batch together.
# rule of domain.deliveries.WebhookDelivery.claimed
CLAIM_BATCHES: Final = text(f"""
WITH chosen AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:batch_ids AS uuid[]), CAST(:renderings AS text[])
    ) AS each (id, batch_id, rendering)
), made AS (
    INSERT INTO noteflow.webhook_batches (id, webhook_id, members, rendering)
    SELECT id, :webhook_id, CAST(members AS uuid[]), rendering
    FROM json_to_recordset(CAST(:made AS json)) AS new (id uuid, members text, rendering text)
), selected AS MATERIALIZED (
    SELECT id, CAST(:webhook_id AS uuid) AS webhook_id FROM chosen
), claimed AS (
    UPDATE noteflow.delivery_queue AS delivery
    SET status = '{DeliveryStatus.SENDING}', claim_no = ((delivery.claim_no::bigint + 1) % 2147483648)::integer,
        next_attempt_at = NULL, held = false, forced = false, claimed_at = statement_timestamp(),
        batch_id = chosen.batch_id,
        rendering = CASE WHEN chosen.batch_id IS NOT NULL THEN chosen.rendering
                         WHEN delivery.rendering IS NOT NULL OR delivery.budget_used > 0 OR delivery.interruptions > 0
                         THEN delivery.rendering ELSE webhook.rendering END,
        lease_expires_at = {lease_end("webhook.timeout_ms", "statement_timestamp()")}
    FROM chosen, (
        SELECT timeout_ms, {rendering_sql("webhook_configs")} AS rendering FROM noteflow.webhook_configs
        WHERE id = :webhook_id
    ) AS webhook
    WHERE delivery.id = chosen.id AND delivery.id = ANY(ARRAY(SELECT id FROM chosen))
    RETURNING delivery.*
)
SELECT {CLAIM_COLUMNS}, claimed.batch_id, claimed.batch_limit, event.meeting_id, event.occurred_at,
       event.traceparent, event.created_at AS stored_at
FROM {CLAIM_SOURCE}
""")  # noqa: S608 - put together from constants
