"""The statement that dispatches and claims where some of what it makes goes in batches: whole ones are leased with it.

Their rows are written as under way at once, and never wait. Traffic without batches is spared its further steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import text

from noteflow_hooks.domain.batches import BODY_LIMIT, CHARACTER, ENVELOPE
from noteflow_hooks.domain.renderings import USUAL
from noteflow_hooks.persistence.sql.delivery.claim_statements import LEASES_BATCHES, THROTTLED, lease_end, room
from noteflow_hooks.persistence.sql.delivery.direct import IF_NEW, Usual
from noteflow_hooks.persistence.sql.delivery.dispatch_statements import (
    LEASED_COLUMNS,
    BatchColumns,
    followed,
    made,
    reported,
    traced,
)
from noteflow_hooks.persistence.sql.delivery.rows import ClaimRow, DispatchReport, columns, no_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What stands between texts in one column: JSON has it nowhere, and neither have types of events.
SEPARATOR: Final = "\x1e"


class FreshRow(NamedTuple):
    """A batch that was leased; its members' own columns are each one text, in their order."""

    batch_id: str
    batch_of: str
    batch_version: str
    batch_rendering: str
    leased_until: str
    made_at: str
    members: str
    events: str
    types: str
    sequences: str
    payloads: str
    contents: str
    #: With commas between; None where none of the events has a trace.
    traces: str | None


def _listed(value: str, separator: str = "','") -> str:
    return f"string_agg({value}, {separator} ORDER BY owned.place)"


def _moment(value: str) -> str:
    """Return a moment as ISO 8601 has it, whatever the session's style."""
    return f"to_json({value}) #>> '{{}}'"


_SEPARATED: Final = f"chr({ord(SEPARATOR)})"
_COLUMNS: Final = columns(
    FreshRow,
    {
        "batch_id": "owned.batch_id::text",
        "batch_of": "owned.webhook_id::text",
        "batch_version": "owned.version",
        "batch_rendering": f"coalesce(owned.rendering, '{USUAL.text}')",
        "leased_until": _moment(lease_end("owned.timeout_ms", "owned.moment")),
        "made_at": _moment("now()"),
        "members": _listed("owned.id::text"),
        "events": _listed("owned.event_id::text"),
        "types": _listed("owned.event_type", _SEPARATED),
        "sequences": _listed("coalesce(event.sequence::text, 'null')"),
        "payloads": _listed("event.payload::text", _SEPARATED),
        "contents": "json_agg(json_build_array(event.meeting_id, event.occurred_at) ORDER BY owned.place)::text",
        "traces": "string_agg(event.traceparent, ',')",
    },
)


def _batches(leases: str) -> BatchColumns:
    return BatchColumns(
        event=f""",
           octet_length(payload::text) + {ENVELOPE} + {CHARACTER} * coalesce(char_length(meeting_id), 0) AS most_bytes,
           payload_erased_at IS NULL AS is_there""",
        endpoint=f", {leases} AS leases, config.batch_max, config.batch_wait_ms",
        found=""", picked.most_bytes, matching.batch_max, matching.batch_wait_ms,
           matching.leases AND picked.is_there AND picked.target_webhook_id IS NULL AS leases""",
        ranked=""",
           CASE WHEN leases
                THEN (row_number() OVER (PARTITION BY webhook_id, leases ORDER BY place) - 1) / batch_max END
           AS nth_batch""",
    )


#: Whether something was made for endpoints with batches.
_BATCHED: Final = "EXISTS (SELECT FROM ranked WHERE batch_max <> 0)"


def _room(leases: str) -> str:
    """Return how many may go. A slot holds its endpoint's health for a moment, which is waited for."""
    return room(
        under_way="requests_under_way",
        throttled=f"({THROTTLED}) AND NOT ({leases})",
        awaited="SELECT webhook_id FROM first WHERE nth_batch IS NOT NULL",
    )


#: Where the condition under which batches are leased comes in.
_LEASES: Final = "/* leases */"
# rule of domain.batches.fresh_groups
_DISPATCH: Final = f"""
WITH {made(_batches(_LEASES))}, gathered AS MATERIALIZED (
    SELECT webhook_id, nth_batch, min(place) AS place FROM ranked
    WHERE nth_batch IS NOT NULL
    GROUP BY webhook_id, nth_batch
    HAVING sum(most_bytes) <= {BODY_LIMIT} AND (count(*) >= min(batch_max) OR min(batch_wait_ms) = 0)
), first AS MATERIALIZED (
    SELECT webhook_id, forced, place, nth_batch FROM (
        SELECT webhook_id, forced, place, nth, NULL::bigint AS nth_batch FROM ranked WHERE enabled AND NOT held
        UNION ALL
        SELECT webhook_id, false, place, nth_batch + 1, nth_batch FROM gathered
    ) AS request
    ORDER BY nth, place
    LIMIT :claim
), waiting AS MATERIALIZED (
    SELECT webhook_id FROM first UNION ALL SELECT webhook_id FROM ranked WHERE held
), {_room(_LEASES)}, selected AS MATERIALIZED (
    SELECT place, webhook_id, nth_batch FROM (
        SELECT first.place, first.webhook_id, first.nth_batch, first.forced OR row_number() OVER (
                   PARTITION BY first.webhook_id ORDER BY first.forced, first.place
               ) <= room.places AS may_go
        FROM first JOIN room USING (webhook_id)
    ) AS each WHERE may_go
), fresh AS MATERIALIZED (
    SELECT noteflow.ordered_id() AS batch_id, webhook_id, nth_batch FROM selected WHERE nth_batch IS NOT NULL
), owned AS MATERIALIZED (
    SELECT noteflow.ordered_id() AS id, own.* FROM (
        SELECT ranked.*, at_once.moment, fresh.batch_id,
               fresh.batch_id IS NOT NULL OR (
                   ranked.nth_batch IS NULL AND (place, ranked.webhook_id) IN (SELECT place, webhook_id FROM selected)
               ) AS may_go,
               held AND fresh.batch_id IS NULL AND ranked.webhook_id = ANY(ARRAY(SELECT webhook_id FROM endpoints))
               AS throttles
        FROM ranked
        CROSS JOIN (SELECT clock_timestamp() AS moment FROM (SELECT count(*) FROM selected) AS chosen) AS at_once
        LEFT JOIN fresh ON fresh.webhook_id = ranked.webhook_id AND fresh.nth_batch = ranked.nth_batch
        ORDER BY place
    ) AS own
), locked AS MATERIALIZED (
    SELECT webhook_id FROM owned WHERE throttles AND NOT paused
), begun AS (
    INSERT INTO noteflow.webhook_batches (id, webhook_id, members, rendering)
    SELECT batch_id, webhook_id, array_agg(id ORDER BY place), coalesce(min(rendering), '{USUAL.text}')
    FROM owned WHERE batch_id IS NOT NULL
    GROUP BY batch_id, webhook_id
), inserted AS (
    INSERT INTO noteflow.delivery_queue
        (id, workspace_id, webhook_id, event_id, event_type, status, next_attempt_at, held, forced, claim_no,
         created_at, claimed_at, lease_expires_at, rendering, batch_id)
    SELECT id, workspace_id, webhook_id, event_id, event_type, CASE WHEN may_go THEN 'sending' ELSE 'pending' END,
           CASE WHEN NOT may_go THEN now() END, throttles, forced AND NOT may_go, CASE WHEN may_go THEN 1 ELSE 0 END,
           now(), CASE WHEN may_go THEN moment END, CASE WHEN may_go THEN {lease_end("timeout_ms", "moment")} END,
           CASE WHEN may_go THEN rendering END, batch_id
    FROM owned WHERE enabled
    {IF_NEW}
    RETURNING id, event_id, webhook_id, status, held
), {followed("SELECT count(*) FROM owned WHERE owned.throttles AND owned.webhook_id = config.id")}
SELECT {LEASED_COLUMNS}, {no_columns(DispatchReport)}, {no_columns(FreshRow)}
FROM owned JOIN noteflow.webhook_events AS event ON event.id = owned.event_id
WHERE owned.may_go AND owned.batch_id IS NULL AND (owned.id IN (SELECT id FROM inserted)) IS TRUE
UNION ALL
SELECT {no_columns(ClaimRow)}, {reported("owned", "throttles", batched=_BATCHED)}, {no_columns(FreshRow)}
UNION ALL
SELECT {no_columns(ClaimRow)}, {no_columns(DispatchReport)}, {_COLUMNS}
FROM owned JOIN noteflow.webhook_events AS event ON event.id = owned.event_id
WHERE owned.batch_id IS NOT NULL
GROUP BY owned.batch_id, owned.webhook_id, owned.version, owned.rendering, owned.timeout_ms, owned.moment
"""  # noqa: S608 - put together from constants


def _usual(sql: str) -> Usual:
    return Usual(
        text(sql.replace(_LEASES, LEASES_BATCHES).replace(IF_NEW, "")),
        text(sql.replace(_LEASES, "false").replace(IF_NEW, "ON CONFLICT DO NOTHING")),
    )


#: The same as DISPATCH_AND_CLAIM, and this worker leases whole batches, too. Where a delivery was there already, which
#: only a change by hand can cause, none is: what is left of a batch would have to be chosen anew.
DISPATCH_BATCHES: Final = _usual(_DISPATCH)
#: The same for a worker that traces.
TRACED_DISPATCH_BATCHES: Final = _usual(traced(_DISPATCH))


def parted(rows: Sequence[Sequence[object]]) -> tuple[list[ClaimRow], DispatchReport, list[FreshRow]]:
    """Return what such rows are: claims, the report, and fresh batches."""
    claims: list[ClaimRow] = []
    reports: list[DispatchReport] = []
    fresh: list[FreshRow] = []
    for row in rows:
        if row[0] is not None:
            claims.append(ClaimRow._make(row[:_REPORT]))
        elif row[_FRESH] is not None:
            fresh.append(FreshRow._make(row[_FRESH:]))
        else:
            reports.append(DispatchReport._make(row[_REPORT:_FRESH]))
    [report] = reports
    return claims, report, fresh


_REPORT: Final = len(ClaimRow._fields)
_FRESH: Final = _REPORT + len(DispatchReport._fields)
