"""The statements of endpoints that get a meeting's events in order. Each runs under the lock on their health.

What others do meanwhile is either seen by the next statement, or gives the endpoint its next slot once the lock is
free.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.domain.ordering import BLOCKED_FROM
from noteflow_hooks.persistence.sql.delivery.claim_statements import CLAIM_SOURCE, claimed
from noteflow_hooks.persistence.sql.delivery.rows import CLAIM_COLUMNS

_BLOCKED_FROM: Final = f"timestamptz '{BLOCKED_FROM.isoformat()}'"
_BLOCKED_HOURS: Final = "interval '8766000 hours'"
_ENDPOINTS: Final = "unnest(CAST(:webhook_ids AS uuid[])) AS own (webhook_id)"

#: Takes meetings whose head has gone, those that wait longest first, so many of each endpoint; and finds those that a
#: dead delivery has stopped at endpoints that stop no more.
TAKE_RELEASED = text(f"""
WITH taken AS MATERIALIZED (
    SELECT released.id FROM {_ENDPOINTS} CROSS JOIN LATERAL (
        SELECT id FROM noteflow.released_meetings WHERE webhook_id = own.webhook_id
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS released
), gone AS (
    DELETE FROM noteflow.released_meetings WHERE id = ANY(ARRAY(SELECT id FROM taken)) RETURNING *
)
(SELECT webhook_id, meeting_id FROM gone ORDER BY id)
UNION ALL
SELECT stopped.webhook_id, stopped.meeting_id
FROM unnest(CAST(:going_on AS uuid[])) AS own (webhook_id) CROSS JOIN LATERAL (
    SELECT webhook_id, meeting_id FROM noteflow.meeting_orders
    WHERE webhook_id = own.webhook_id AND stopped_by IS NOT NULL LIMIT :limit
) AS stopped
""")  # noqa: S608 - put together from constants

RELEASE = text("""
INSERT INTO noteflow.released_meetings (webhook_id, meeting_id)
SELECT * FROM unnest(CAST(:webhook_ids AS uuid[]), CAST(:meeting_ids AS text[]))
""")

#: Locks what waits and is not blocked, so much of each endpoint, those due longest first.
CANDIDATES = text(f"""
SELECT own.webhook_id, waiting.id, event.meeting_id, event.sequence, waiting.next_attempt_at AS due_at
FROM {_ENDPOINTS} CROSS JOIN LATERAL (
    SELECT id, event_id, next_attempt_at FROM noteflow.delivery_queue
    WHERE webhook_id = own.webhook_id AND status = 'pending' AND held AND next_attempt_at < {_BLOCKED_FROM}
      AND batch_id IS NULL
    ORDER BY next_attempt_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
) AS waiting
JOIN noteflow.webhook_events AS event ON event.id = waiting.event_id
ORDER BY waiting.next_attempt_at, event.sequence
""")  # noqa: S608 - put together from constants

_MEETINGS: Final = "unnest(CAST(:webhook_ids AS uuid[]), CAST(:meeting_ids AS text[])) AS own (webhook_id, meeting_id)"
#: How far endpoints are with meetings, and the lowest number that is to go and on record as one of the order.
ORDERS = text(f"""
SELECT own.webhook_id, own.meeting_id, kept.through, kept.sent, kept.gap, kept.stopped_by, (
    SELECT queued.sequence FROM noteflow.delivery_queue AS queued
    WHERE queued.webhook_id = own.webhook_id AND queued.ordered_meeting = own.meeting_id
    ORDER BY queued.sequence LIMIT 1
) AS lowest
FROM {_MEETINGS}
LEFT JOIN noteflow.meeting_orders AS kept ON kept.webhook_id = own.webhook_id AND kept.meeting_id = own.meeting_id
""")  # noqa: S608 - put together from constants

#: The last number before this one that the endpoint got, as far back as is looked; where it got none, what is before.
GOT_BEFORE = text("""
SELECT coalesce(max(sequence) FILTER (WHERE status = 'succeeded'), min(sequence) - 1, 0) AS through FROM (
    SELECT event.sequence, delivery.status
    FROM noteflow.webhook_events AS event
    LEFT JOIN noteflow.webhook_deliveries AS delivery
        ON delivery.event_id = event.id AND delivery.webhook_id = :webhook_id
    WHERE event.workspace_id = :workspace_id AND event.meeting_id = :meeting_id AND event.sequence < :sequence
    ORDER BY event.sequence DESC
    LIMIT :limit
) AS before
""")

#: The next events of meetings behind a number of each, with their deliveries to the endpoint.
STEPS = text(f"""
SELECT own.webhook_id, own.meeting_id, event.sequence, event.id AS event_id, event.is_dispatched,
       delivery.id AS delivery_id, delivery.status, delivery.skip_reason,
       coalesce(delivery.attempt_count, 0) AS attempt_count,
       coalesce(delivery.held AND NOT delivery.forced AND delivery.batch_id IS NULL, false) AS is_claimable,
       delivery.ordered_meeting IS NOT NULL AS is_marked,
       delivery.next_attempt_at
       - CASE WHEN delivery.next_attempt_at >= {_BLOCKED_FROM} THEN {_BLOCKED_HOURS} ELSE interval '0' END AS due_at
FROM unnest(CAST(:webhook_ids AS uuid[]), CAST(:workspace_ids AS uuid[]), CAST(:meeting_ids AS text[]),
            CAST(:behind AS bigint[])) AS own (webhook_id, workspace_id, meeting_id, behind)
CROSS JOIN LATERAL (
    SELECT id, sequence, dispatched_at IS NOT NULL AS is_dispatched FROM noteflow.webhook_events
    WHERE workspace_id = own.workspace_id AND meeting_id = own.meeting_id AND sequence > own.behind
    ORDER BY sequence
    LIMIT :limit
) AS event
LEFT JOIN LATERAL (
    SELECT * FROM noteflow.webhook_deliveries
    WHERE event_id = event.id AND webhook_id = own.webhook_id
    LIMIT 1
) AS delivery ON true
ORDER BY own.webhook_id, own.meeting_id, event.sequence
""")  # noqa: S608 - put together from constants

_CHOSEN: Final = """
chosen AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS each (
        id uuid, meeting_id text, sequence bigint, gap integer, is_late boolean)
)"""
_ON_RECORD: Final = "ordered_meeting = chosen.meeting_id, sequence = chosen.sequence"
#: Claims these, each with what its request tells. A gap is told as it was at the first claim.
CLAIM_CHOSEN = text(f"""
WITH {_CHOSEN}, selected AS MATERIALIZED (
    SELECT id, webhook_id FROM noteflow.delivery_queue
    WHERE id = ANY(ARRAY(SELECT id FROM chosen)) AND status = 'pending' AND held
    FOR UPDATE SKIP LOCKED
), {
    claimed(
        f''',
        {_ON_RECORD}, gap = coalesce(delivery.gap, chosen.gap),
        out_of_order = coalesce(delivery.out_of_order, chosen.is_late)''',
        ", chosen",
        " AND chosen.id = delivery.id",
    )
}
SELECT {CLAIM_COLUMNS} FROM {CLAIM_SOURCE}
""")  # noqa: S608 - put together from constants

#: Lets these be taken into batches, which are made of what is due, in the same slot.
OFFER = text(f"""
WITH {_CHOSEN}, free AS MATERIALIZED (
    SELECT id FROM noteflow.delivery_queue
    WHERE id = ANY(ARRAY(SELECT id FROM chosen)) AND status = 'pending' AND held
    FOR UPDATE SKIP LOCKED
)
UPDATE noteflow.delivery_queue AS delivery
SET {_ON_RECORD}, gap = coalesce(delivery.gap, chosen.gap),
    out_of_order = coalesce(delivery.out_of_order, chosen.is_late),
    next_attempt_at = CASE WHEN next_attempt_at < {_BLOCKED_FROM} THEN next_attempt_at
                           ELSE next_attempt_at - {_BLOCKED_HOURS} END
FROM chosen
WHERE delivery.id = chosen.id AND delivery.id = ANY(ARRAY(SELECT id FROM free))
RETURNING delivery.id
""")  # noqa: S608 - put together from constants

#: Blocks these, whose rows are locked.
BLOCK = text(f"""
WITH {_CHOSEN}
UPDATE noteflow.delivery_queue AS delivery SET {_ON_RECORD}, next_attempt_at = next_attempt_at + {_BLOCKED_HOURS}
FROM chosen
WHERE delivery.id = chosen.id AND delivery.id = ANY(ARRAY(SELECT id FROM chosen))
  AND status LIKE 'pending' AND held AND next_attempt_at < {_BLOCKED_FROM}
""")  # noqa: S608 - put together from constants

#: Puts these on record as ones that others wait for. One that somebody is busy with is passed over.
MARK = text(f"""
WITH {_CHOSEN}, free AS MATERIALIZED (
    SELECT id FROM noteflow.delivery_queue WHERE id = ANY(ARRAY(SELECT id FROM chosen)) FOR UPDATE SKIP LOCKED
)
UPDATE noteflow.delivery_queue AS delivery SET {_ON_RECORD}
FROM chosen
WHERE delivery.id = chosen.id AND delivery.id = ANY(ARRAY(SELECT id FROM free))
RETURNING delivery.id
""")  # noqa: S608 - put together from constants

STORE_ORDERS = text("""
INSERT INTO noteflow.meeting_orders (webhook_id, meeting_id, through, sent, gap, stopped_by)
SELECT webhook_id, meeting_id, through, sent, gap, stopped_by FROM json_to_recordset(CAST(:rows AS json)) AS each (
    webhook_id uuid, meeting_id text, through bigint, sent bigint, gap integer, stopped_by uuid)
ON CONFLICT (webhook_id, meeting_id) DO UPDATE
SET through = excluded.through, sent = excluded.sent, gap = excluded.gap, stopped_by = excluded.stopped_by,
    updated_at = now()
""")

#: Releases meetings of which the lowest that is to go is blocked, though nothing holds it: a hand, or a release that
#: knows no order, has left it so. Steps from meeting to meeting through the index.
# rule of domain.ordering.MeetingOrder.walked
RELEASE_LOST = text(f"""
WITH RECURSIVE lowest AS (
    (SELECT webhook_id, ordered_meeting, id FROM noteflow.delivery_queue WHERE ordered_meeting IS NOT NULL
     ORDER BY webhook_id, ordered_meeting, sequence LIMIT 1)
    UNION ALL
    SELECT following.* FROM lowest CROSS JOIN LATERAL (
        SELECT queued.webhook_id, queued.ordered_meeting, queued.id FROM noteflow.delivery_queue AS queued
        WHERE queued.ordered_meeting IS NOT NULL
          AND (queued.webhook_id, queued.ordered_meeting) > (lowest.webhook_id, lowest.ordered_meeting)
        ORDER BY queued.webhook_id, queued.ordered_meeting, queued.sequence LIMIT 1
    ) AS following
), lost AS MATERIALIZED (
    SELECT lowest.webhook_id, lowest.ordered_meeting FROM (SELECT * FROM lowest LIMIT :limit) AS lowest
    JOIN noteflow.delivery_queue AS queued ON queued.id = lowest.id
    JOIN noteflow.webhook_configs AS config ON config.id = lowest.webhook_id
    WHERE queued.status = 'pending' AND queued.held AND queued.next_attempt_at >= {_BLOCKED_FROM}
      AND config.ordering <> 'none'
      AND NOT EXISTS (
          SELECT FROM noteflow.released_meetings AS released
          WHERE released.webhook_id = lowest.webhook_id AND released.meeting_id = lowest.ordered_meeting
      )
      AND NOT EXISTS (
          SELECT FROM noteflow.meeting_orders AS kept
          JOIN noteflow.webhook_deliveries AS dead ON dead.id = kept.stopped_by
          WHERE kept.webhook_id = lowest.webhook_id AND kept.meeting_id = lowest.ordered_meeting
            AND dead.status = 'dead' AND config.on_dead = 'stop'
      )
)
INSERT INTO noteflow.released_meetings (webhook_id, meeting_id) SELECT * FROM lost
""")  # noqa: S608 - put together from constants
