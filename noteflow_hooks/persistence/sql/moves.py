"""How a delivery's row moves: from the queue to the settled ones, and back when it is sent again.

A move is one statement, so that whoever looks sees the row in one of the two places. Who waits for its lock finds it
gone, and where that matters looks once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.stats import NO_KIND
from noteflow_hooks.persistence.sql.conditions import one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The two tables' columns. Written out, since workers do without SQLAlchemy's ORM, which knows them.
COLUMNS: Final = (
    "id",
    "workspace_id",
    "webhook_id",
    "event_id",
    "event_type",
    "status",
    "status_code",
    "response_body",
    "error_message",
    "attempt_count",
    "duration_ms",
    "next_attempt_at",
    "lease_expires_at",
    "claimed_at",
    "delivered_at",
    "created_at",
    "budget_used",
    "interruptions",
    "claim_no",
    "held",
    "forced",
    "skip_reason",
    "passes_filter",
    "ordered_meeting",
    "sequence",
    "gap",
    "out_of_order",
    "rendering",
    "batch_id",
    "batch_limit",
    "error_kind",
)
_UNLESS_THERE: Final = "ON CONFLICT DO NOTHING"
#: What a settled row has no more.
_FILED: Final = {
    "next_attempt_at": "NULL",
    "lease_expires_at": "NULL",
    "claimed_at": "NULL",
    "held": "false",
    "forced": "false",
}


def filed(source: str, changes: Mapping[str, str], *, if_new: str = _UNLESS_THERE) -> str:
    """Return the INSERT that files rows of ``source``, which are settled, with what has changed of them.

    ``if_new`` is what becomes of a row that is there already, which only a change by hand can cause: all others of the
    statement must be stored.
    """
    return f"{_into('webhook_deliveries', source, {**_FILED, **changes})} {if_new}"


def queued(source: str, changes: Mapping[str, str]) -> str:
    """Return the INSERT that puts rows of ``source`` into the queue, with what has changed of them."""
    return f"{_into('delivery_queue', source, changes)} {_UNLESS_THERE}"


def _into(table: str, source: str, changes: Mapping[str, str]) -> str:
    values = ", ".join(changes.get(name, f"{source}.{name}") for name in COLUMNS)
    return f"INSERT INTO noteflow.{table} ({', '.join(COLUMNS)}) SELECT {values} FROM {source}"  # noqa: S608 - our names


#: Whether what is sent again passes its endpoint's filter unasked.
# rule of domain.deliveries.WebhookDelivery.sent_again
_PASSES_AGAIN: Final = """
CAST(:forced AS boolean) OR CASE
    WHEN taken.status = 'skipped'
    THEN CAST(:unfiltered AS boolean) AND taken.skip_reason IS NOT DISTINCT FROM 'filtered'
    ELSE taken.passes_filter IS NOT FALSE
         AND (taken.passes_filter IS NOT NULL OR taken.attempt_count <> taken.interruptions)
END
"""
#: By what a delivery has ended that has not succeeded.
# rule of domain.stats.ended_by
ENDED_BY: Final = f"coalesce(CASE status WHEN 'dead' THEN error_kind ELSE skip_reason END, '{NO_KIND}')"
#: Makes settled deliveries due once more, with a fresh budget: what a person asks for is forced, the rest throttled.
#: How one had ended that is not counted yet is kept for that.
# rule of domain.deliveries.WebhookDelivery.sent_again
SENT_AGAIN: Final = f"""
taken AS (
    DELETE FROM noteflow.webhook_deliveries WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING *
), resent AS (
    INSERT INTO noteflow.stats_resent (settled_at, workspace_id, webhook_id, event_type, status, kind, attempt_count)
    SELECT settled_at, workspace_id, webhook_id, event_type, status, {ENDED_BY}, attempt_count FROM taken
    WHERE status IN ('dead', 'skipped')
      AND settled_at >= coalesce((SELECT counted_to FROM noteflow.stats_progress), '-infinity')
), again AS (
    {
    queued(
        "taken",
        {
            "status": "'pending'",
            "next_attempt_at": "now()",
            "delivered_at": "NULL",
            "budget_used": "0",
            "interruptions": "0",
            "held": "NOT CAST(:forced AS boolean)",
            "forced": "CAST(:forced AS boolean)",
            "skip_reason": "NULL",
            "passes_filter": _PASSES_AGAIN,
            "gap": "NULL",
            "out_of_order": "NULL",
            "rendering": "NULL",
            "batch_id": "NULL",
            "batch_limit": "NULL",
        },
    )
}
)
"""  # noqa: S608 - put together from constants of this file

#: The same for what a person asks for, whose row is locked.
SEND_ONE_AGAIN: Final = text(f"WITH {SENT_AGAIN} SELECT id FROM taken")  # noqa: S608 - put together from constants

#: Takes into the queue what waits in the other table: a worker of a former release, or somebody's hand, has left it
#: there. What is under way stays with its worker, until its lease has expired.
QUEUE_LEFT: Final = text(f"""
WITH waiting AS MATERIALIZED (
    SELECT id FROM ONLY noteflow.webhook_deliveries WHERE status = 'pending' LIMIT :limit FOR UPDATE SKIP LOCKED
), expired AS MATERIALIZED (
    SELECT id FROM ONLY noteflow.webhook_deliveries WHERE status = 'sending' AND lease_expires_at <= now()
    LIMIT :limit FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM ONLY noteflow.webhook_deliveries
    WHERE id = ANY(ARRAY(SELECT id FROM waiting UNION ALL SELECT id FROM expired)) RETURNING *
)
{queued("taken", {})}
""")  # noqa: S608 - put together from constants of this file

#: Files what is settled and still in the queue, for the same reasons.
FILE_LEFT: Final = text(f"""
WITH left_there AS MATERIALIZED (
    SELECT id FROM noteflow.delivery_queue WHERE {one_of("status", sorted(FINAL_STATUSES))}
    LIMIT :limit FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM noteflow.delivery_queue WHERE id = ANY(ARRAY(SELECT id FROM left_there)) RETURNING *
)
{filed("taken", {})}
""")  # noqa: S608 - put together from constants of this file
