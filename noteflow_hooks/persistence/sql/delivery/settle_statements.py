"""Statements that settle, and that reclaim expired leases: a whole batch in one round trip, whatever its size.

Times are the database's own. ``SKIP LOCKED`` lets any number of workers run them side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.persistence.sql.delivery.direct import IF_NEW, Usual
from noteflow_hooks.persistence.sql.delivery.rows import SettledRow, columns
from noteflow_hooks.persistence.sql.moves import filed

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where also a success calls for a look at the endpoint's health: it was not well before.
# rule of domain.health.circuit_breaker.apply_results
_ILL = """
(health.failures > 0 OR health.ramp IS NOT NULL
 OR coalesce(health.open_until, health.slow_since, health.failing_since) IS NOT NULL)
"""
_SETTLED_COLUMNS = columns(
    SettledRow,
    {
        "examined": f"stored.notable OR coalesce({_ILL}, false)",
        "has_slot": "stored.webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed))",
    },
    table="stored",
)
_BESIDE = "LEFT JOIN noteflow.webhook_health AS health USING (webhook_id)"
_WHOLE_COLUMNS = _SETTLED_COLUMNS.replace("stored.id", "ended.first").replace("stored.", "ended.")
#: The claim's own row. Looked up by the ids as an array, and not by the index of what is under way: the queue that is
#: small when the statement is planned, for good, may have a million rows at other times, and must not be gone through.
_OWN = "delivery.id = result.id AND delivery.claim_no = result.claim_no AND delivery.status LIKE 'sending'"
_AMONG = "result.status {0} 'pending' AND delivery.id = ANY(ARRAY(SELECT id FROM result WHERE status {0} 'pending'))"
#: What made the last attempt fail: without an attempt in this result the one before is still the last.
_KIND = "CASE WHEN result.started_at IS NULL THEN delivery.error_kind ELSE result.error_kind END"


class _Parts(NamedTuple):
    """Where the statement that settles differs for batches."""

    #: Further columns of the results.
    columns: str = ""
    #: A further step before the rest.
    erased: str = ""
    body: str = """CASE WHEN delivery.error_message = :erased THEN NULL WHEN result.started_at IS NULL
                   THEN delivery.response_body ELSE result.response_body END"""
    ended: str = ""
    filed: Mapping[str, str] = {"batch_id": "NULL", "batch_limit": "NULL"}
    kept: str = ""
    recorded: str = ""
    of_batch: str = ""
    #: Whose result a result is, and how those of all members come of it.
    key: str = "id uuid"
    results: str = "* FROM json_to_recordset(CAST(:rows AS json)) AS each"
    spread: str = ""
    #: The answer as it is stored.
    answer: str = "ended.response_body"
    #: What is returned.
    returned: str = (
        f"SELECT {_SETTLED_COLUMNS} FROM stored LEFT JOIN noteflow.webhook_health AS health USING (webhook_id)"  # noqa: S608 - our own columns
    )


_ALONE = _Parts()
#: Leaves out the answer for all members of a batch where one was erased: it may repeat it.
_UNLESS_ERASED = """CASE WHEN ended.batch_id = ANY(ARRAY(SELECT batch_id FROM ended WHERE was_erased)) THEN NULL
                         ELSE ended.response_body END"""
_BATCHED = _Parts(
    columns=", batch_id uuid, batch_limit smallint, attempt_batch uuid",
    erased="""), erased AS MATERIALIZED (
    SELECT batch_id FROM noteflow.delivery_queue
    WHERE batch_id = ANY(ARRAY(SELECT attempt_batch FROM result)) AND error_message = :erased
""",
    body="""CASE WHEN delivery.error_message = :erased OR delivery.batch_id = ANY(ARRAY(SELECT batch_id FROM erased))
                   THEN NULL WHEN result.started_at IS NULL THEN delivery.response_body
                   ELSE result.response_body END""",
    ended=", result.batch_id",
    filed={"batch_limit": "NULL"},
    kept=", batch_id = result.batch_id, batch_limit = result.batch_limit, held = result.batch_id IS NOT NULL",
    recorded=", batch_id",
    of_batch=", result.attempt_batch",
)
_WHOLE = _BATCHED._replace(
    columns=", batch_id uuid, attempt_batch uuid, members text",
    erased="",
    body=_ALONE.body,
    ended=", result.batch_id, result.first, delivery.error_message = :erased AS was_erased",
    filed={"batch_limit": "NULL", "response_body": _UNLESS_ERASED},
    kept="",
    key="first uuid",
    results="own.id, each.* FROM json_to_recordset(CAST(:rows AS json)) AS each",
    spread=" CROSS JOIN LATERAL unnest(CAST(each.members AS uuid[])) AS own (id)",
    answer=_UNLESS_ERASED,
    returned=f"SELECT DISTINCT {_WHOLE_COLUMNS} FROM ended {_BESIDE}",  # noqa: S608 - our own columns
)


def _moved(parts: _Parts) -> str:
    """Return the steps that move or change the deliveries' rows."""
    return f"""
WITH result AS MATERIALIZED (
    SELECT {parts.results} (
        {parts.key}, claim_no integer, status text, status_code integer, response_body text, error_message text,
        attempt_count integer, duration_ms integer, budget_used smallint, interruptions smallint,
        wait_s double precision, notable boolean, started_at timestamptz, attempt_ms integer, attempt_code integer,
        error_kind text, attempt_error text, redialled boolean, times smallint[], sent text, heard text,
        skip_reason text, passes_filter boolean{parts.columns}){parts.spread}
{parts.erased}), ended AS (
    DELETE FROM noteflow.delivery_queue AS delivery USING result
    WHERE {_AMONG.format("<>")} AND {_OWN}
    RETURNING delivery.id, delivery.claim_no, delivery.workspace_id, delivery.webhook_id, delivery.event_id,
              delivery.event_type, delivery.created_at, result.status, result.status_code, {parts.body}
              AS response_body, result.error_message, result.attempt_count, result.duration_ms, result.budget_used,
              result.interruptions, CASE WHEN result.status = 'succeeded' THEN now() END AS delivered_at,
              result.skip_reason, delivery.ordered_meeting, delivery.sequence, delivery.gap, delivery.out_of_order,
              delivery.rendering, {_KIND} AS error_kind, result.passes_filter, result.notable{parts.ended}
), filed AS (
    {filed("ended", parts.filed, if_new=IF_NEW)}
), kept AS (
    UPDATE noteflow.delivery_queue AS delivery
    SET status = result.status, status_code = result.status_code, response_body = {parts.body},
        error_message = result.error_message, error_kind = {_KIND}, attempt_count = result.attempt_count,
        duration_ms = result.duration_ms,
        budget_used = result.budget_used, interruptions = result.interruptions, passes_filter = result.passes_filter,
        lease_expires_at = NULL, claimed_at = NULL, next_attempt_at = now() + make_interval(secs => result.wait_s),
        forced = delivery.event_type = '{VERIFICATION}'{parts.kept}
    FROM result
    WHERE {_AMONG.format("=")} AND {_OWN}
    RETURNING delivery.id, delivery.claim_no, delivery.webhook_id, delivery.response_body, result.notable
)"""  # noqa: S608 - put together from constants of this file


def _settle(parts: _Parts) -> str:
    return f"""{_moved(parts)}, stored AS (
    SELECT id, claim_no, webhook_id, {parts.answer} AS response_body, notable FROM ended
    UNION ALL SELECT * FROM kept
), recorded AS (
    INSERT INTO noteflow.webhook_attempts
        (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body, error_kind, error_message,
         redialled, times, request_headers, response_headers{parts.recorded})
    SELECT result.id, result.attempt_count, result.started_at, result.attempt_ms, result.attempt_code,
           stored.response_body, result.error_kind, result.attempt_error, result.redialled, result.times,
           result.sent, CASE WHEN result.response_body IS NULL OR stored.response_body IS NOT NULL THEN result.heard END
           {parts.of_batch}
    FROM stored JOIN result USING (id, claim_no)
    WHERE result.started_at IS NOT NULL
    {IF_NEW}
), freed AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health AS health
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM stored)) AND awaiting_room AND NOT {_ILL}
    ORDER BY webhook_id
    FOR NO KEY UPDATE
), scheduled AS (
    UPDATE noteflow.webhook_health SET turn_at = clock_timestamp(), awaiting_room = false
    WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM freed))
)
{parts.returned}
"""  # noqa: S608 - put together from constants of this file


#: Stores the next state of claimed deliveries, each only under the claim it was made for, and their attempts. What has
#: ended leaves the queue, and is written to where it stays. Where the payload was erased meanwhile, which the delivery
#: is marked with, the receiver's answer is left out. Says of each endpoint whether its health is to be examined, since
#: something notable has happened or it was not well before; and whether it has a scheduling slot now, since there is
#: room again that it has waited for. An attempt whose number is on record, since somebody set the delivery's count
#: back, is left out: its result could not be stored otherwise, and it would be made again and again.
# rule of domain.settling.stored
SETTLE = Usual.of(_settle(_ALONE))

#: The same where some of the results are of batches. A batch that is sent again waits for a scheduling slot; where one
#: of its members was erased, the answer, which may repeat it, is left out for all. Their rows are locked before.
# rule of domain.settling.stored
SETTLE_BATCHES = Usual.of(_settle(_BATCHED))

#: The same where each result is that of a whole batch, whose members are told by their first one.
# rule of domain.settling.stored
SETTLE_WHOLE = Usual.of(_settle(_WHOLE))

#: Locks what is to be settled, so that what was erased meanwhile is seen; and then the health of all its endpoints:
#: what follows locks some of these one after the other, in no order, while others hold one and ask for the next.
LOCK_SETTLED = text("""
WITH settled AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.delivery_queue WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
)
SELECT FROM noteflow.webhook_health WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM settled))
ORDER BY webhook_id
FOR NO KEY UPDATE
""")

#: Gives slots to the endpoints of batches that are sent again, when they are due at the latest.
# rule of domain.health.state.EndpointHealth.with_batch_due
SCHEDULE_BATCHES = text("""
WITH due AS MATERIALIZED (
    SELECT webhook_id, min(next_attempt_at) AS moment FROM noteflow.delivery_queue
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending' AND batch_id IS NOT NULL
    GROUP BY webhook_id
), locked AS MATERIALIZED (
    SELECT webhook_id FROM noteflow.webhook_health WHERE webhook_id = ANY(ARRAY(SELECT webhook_id FROM due))
    ORDER BY webhook_id
    FOR NO KEY UPDATE
)
UPDATE noteflow.webhook_health AS health SET turn_at = due.moment, gathering = true
FROM locked JOIN due USING (webhook_id)
WHERE health.webhook_id = locked.webhook_id AND (health.turn_at IS NULL OR health.turn_at > due.moment)
RETURNING health.slow_since IS NOT NULL AS slow, greatest(due.moment - clock_timestamp(), interval '0') AS wait
""")

#: Locks deliveries that a worker holds past its lease; with ``claimed_from`` only those that were claimed since then.
# rule of domain.deliveries.WebhookDelivery.is_expired
EXPIRED = text("""
SELECT delivery.*, now() AS moment FROM noteflow.delivery_queue AS delivery
WHERE status = 'sending' AND lease_expires_at <= now()
  AND (CAST(:claimed_from AS timestamptz) IS NULL OR claimed_at >= :claimed_from)
ORDER BY lease_expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED
""")

#: Locks the other members under way of batches that are reclaimed: all are reclaimed together.
EXPIRED_TOO = text("""
SELECT delivery.*, now() AS moment FROM noteflow.delivery_queue AS delivery
WHERE batch_id = ANY(CAST(:batch_ids AS uuid[])) AND status = 'sending' AND id <> ALL(CAST(:ids AS uuid[]))
FOR UPDATE SKIP LOCKED
""")

#: Ends a delivery whose row can't be settled as others are, and touches as little of it as it can.
ABANDON = text("""
UPDATE noteflow.delivery_queue
SET status = 'dead', error_message = :message, lease_expires_at = NULL, claimed_at = NULL, next_attempt_at = NULL,
    delivered_at = NULL
WHERE id = :id AND status = 'sending'
""")
