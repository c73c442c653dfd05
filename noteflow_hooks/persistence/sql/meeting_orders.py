"""Statements about meetings whose events go to an endpoint in order, outside the endpoint's own slots.

A delivery is locked before its endpoint's health, as everywhere.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.persistence.sql.moves import filed
from noteflow_hooks.persistence.sql.wire import Statement

#: Locks the health of endpoints.
LOCK = text("""
SELECT FROM noteflow.webhook_health WHERE webhook_id = ANY(CAST(:webhook_ids AS uuid[]))
ORDER BY webhook_id
FOR NO KEY UPDATE
""")

#: Gives endpoints that keep an order a slot now, since something has gone that others may wait for. The lock comes
#: before: a slot that is under way ends first.
WAKE = text("""
WITH locked AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health WHERE webhook_id = ANY(CAST(:webhook_ids AS uuid[]))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
)
UPDATE noteflow.webhook_health AS health SET turn_at = least(coalesce(health.turn_at, now()), now())
FROM locked, noteflow.webhook_configs AS config
WHERE health.webhook_id = locked.webhook_id AND config.id = locked.webhook_id AND config.ordering <> 'none'
RETURNING health.slow_since IS NOT NULL AS slow
""")

#: Puts one that was just made due again on record as one of its meeting's order.
SENT_AGAIN = text("""
UPDATE noteflow.delivery_queue AS delivery
SET ordered_meeting = event.meeting_id, sequence = event.sequence, out_of_order = coalesce((
    SELECT kept.sent > event.sequence FROM noteflow.meeting_orders AS kept
    WHERE kept.webhook_id = delivery.webhook_id AND kept.meeting_id = event.meeting_id
), false)
FROM noteflow.webhook_events AS event
WHERE delivery.id = :id AND event.id = delivery.event_id AND event.meeting_id IS NOT NULL
  AND event.sequence IS NOT NULL
""")

_GIVEN_UP: Final = {
    "status": "'skipped'",
    "error_message": "CAST(:message AS text)",
    "skip_reason": "CAST(:reason AS text)",
}
#: Gives up one that waits, whose row is locked; the trigger on what leaves the queue lets go what waits for it.
# rule of domain.ordering.given_up
GIVE_UP_QUEUED = text(f"""
WITH taken AS (DELETE FROM noteflow.delivery_queue WHERE id = :id AND status = 'pending' RETURNING *)
{filed("taken", _GIVEN_UP)}
""")  # noqa: S608 - put together from constants
# rule of domain.ordering.given_up
GIVE_UP_SETTLED = text("""
UPDATE ONLY noteflow.webhook_deliveries
SET status = 'skipped', error_message = :message, skip_reason = :reason, next_attempt_at = NULL, held = false,
    forced = false
WHERE id = :id AND status IN ('dead', 'pending')
""")
#: Lets go what waits for one that has ended.
RELEASE_OF = text("""
INSERT INTO noteflow.released_meetings (webhook_id, meeting_id)
SELECT delivery.webhook_id, event.meeting_id
FROM noteflow.webhook_deliveries AS delivery
JOIN noteflow.webhook_events AS event ON event.id = delivery.event_id
JOIN noteflow.webhook_configs AS config ON config.id = delivery.webhook_id
WHERE delivery.id = :id AND event.meeting_id IS NOT NULL AND event.sequence IS NOT NULL AND config.ordering <> 'none'
""")

#: Which dead deliveries hold these.
STOPPED_BY = Statement(
    """
SELECT delivery.id, kept.stopped_by
FROM noteflow.webhook_deliveries AS delivery
JOIN noteflow.meeting_orders AS kept
    ON kept.webhook_id = delivery.webhook_id AND kept.meeting_id = delivery.ordered_meeting
WHERE delivery.id = ANY(CAST(:delivery_ids AS uuid[])) AND kept.stopped_by IS NOT NULL
""",
    reads=True,
)
