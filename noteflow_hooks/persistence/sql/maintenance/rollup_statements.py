"""The statements that count: all of a window in one, whatever there is in it.

Each looks its rows up by an index, from the bounds of a minute, so that the planner has nothing to choose.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from noteflow_hooks.domain.events import CUSTOM
from noteflow_hooks.domain.stats import BOUNDS_MS, MOST_TRIES, NO_KIND, SUCCEEDED, Measure
from noteflow_hooks.persistence.sql.moves import ENDED_BY
from noteflow_hooks.persistence.sql.stats_keys import ALL_ENDPOINTS, EVERYTHING

#: Who counts has this row's lock; others leave it at that. It waits for no disk: what a crash takes is counted again. A
#: window's rows are gone through in memory.
BEGIN: Final = text("""
WITH hurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true), set_config('work_mem', '64MB', true),
           set_config('jit', 'off', true)
)
SELECT counted_to, seen_to FROM noteflow.stats_progress, hurried WHERE id = 1 FOR UPDATE OF stats_progress SKIP LOCKED
""")
CREATE: Final = text("INSERT INTO noteflow.stats_progress (id) VALUES (1) ON CONFLICT DO NOTHING")
#: What a transaction writes has moments that are not before its beginning, and it holds a lock on the table before the
#: first of them. So of what is older than now, and than the beginning of each transaction that holds such a lock, all
#: can be seen by whoever looks after this. Nothing is known of how old other roles' transactions are, if we may not see
#: that: then it is to be asked again.
HORIZON: Final = text("""
SELECT date_trunc('milliseconds', least(now(), min(activity.xact_start))) AS moment,
       coalesce(bool_or(activity.xact_start IS NULL), false) AS is_hidden
FROM pg_locks AS own LEFT JOIN pg_stat_activity AS activity ON activity.pid = own.pid
WHERE own.locktype = 'relation' AND own.mode = 'RowExclusiveLock' AND own.granted AND own.pid <> pg_backend_pid()
  AND own.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND own.relation IN ('noteflow.webhook_attempts'::regclass, 'noteflow.webhook_events'::regclass,
                       'noteflow.webhook_deliveries'::regclass)
""")
#: Where counting begins: with the oldest event that is stored.
OLDEST: Final = text("""
SELECT min(created_at) FROM (
    (SELECT created_at FROM noteflow.webhook_events WHERE payload_erased_at IS NULL ORDER BY created_at LIMIT 1)
    UNION ALL
    (SELECT created_at FROM noteflow.webhook_events WHERE payload_erased_at IS NOT NULL ORDER BY created_at LIMIT 1)
) AS event
""")
#: When something happened next: times in which nothing did are passed over.
NEXT_ATTEMPT: Final = text("SELECT id FROM noteflow.webhook_attempts WHERE id >= :first ORDER BY id LIMIT 1")
NEXT: Final = text("""
SELECT min(moment) FROM (
    (SELECT created_at AS moment FROM noteflow.webhook_events
     WHERE payload_erased_at IS NULL AND created_at >= :begins ORDER BY created_at LIMIT 1)
    UNION ALL
    (SELECT created_at FROM noteflow.webhook_events
     WHERE payload_erased_at IS NOT NULL AND created_at >= :begins ORDER BY created_at LIMIT 1)
    UNION ALL
    (SELECT settled_at FROM ONLY noteflow.webhook_deliveries
     WHERE status IN ('dead', 'skipped') AND settled_at >= :begins ORDER BY settled_at LIMIT 1)
    UNION ALL
    (SELECT settled_at FROM noteflow.stats_resent WHERE settled_at >= :begins ORDER BY settled_at LIMIT 1)
) AS happened
""")
#: So far counting has come; what was kept for it may go.
NOTE: Final = text("""
WITH gone AS (
    DELETE FROM noteflow.stats_resent WHERE settled_at < :counted_to
)
UPDATE noteflow.stats_progress SET counted_to = :counted_to, seen_to = :seen_to WHERE id = 1
""")
_ALL: Final = f"'{ALL_ENDPOINTS}'::uuid"
_EVERYTHING: Final = f"'{EVERYTHING}'::uuid"
_BOUNDS: Final = f"'{{{','.join(map(str, BOUNDS_MS))}}}'::bigint[]"


# rule of domain.stats.bin_of
def bin_sql(ms: str) -> str:
    """Return the number of the bin for an expression's milliseconds."""
    return f"width_bucket(({ms}) - 1, {_BOUNDS})"


#: What has happened, by the minute. A delivery is in one of its two tables. One that was sent again has no latency:
#: somebody wanted it later. It is marked as asked about its filter, or not to be; most never are, and need no look.
_HAPPENED: Final = f"""
minute AS MATERIALIZED (
    SELECT * FROM unnest(
        CAST(:minutes AS timestamptz[]), CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[]),
        CAST(:firsts AS uuid[]), CAST(:lasts AS uuid[])
    ) AS minute (at, begins, ends, first, last)
), attempt AS MATERIALIZED (
    SELECT minute.at, delivery.workspace_id, delivery.webhook_id, delivery.event_type, made.error_kind AS failure,
           made.duration_ms, made.attempt_number, made.started_at,
           CASE WHEN made.error_kind IS NULL AND (delivery.passes_filter IS NULL OR NOT EXISTS (
               SELECT FROM noteflow.webhook_redeliveries AS again WHERE again.delivery_id = made.delivery_id
           )) THEN greatest(0, date_part('epoch', delivery.delivered_at - (
               SELECT created_at FROM noteflow.webhook_events WHERE id = delivery.event_id
           )) * 1000)::bigint END AS latency_ms
    FROM minute
    CROSS JOIN LATERAL (
        SELECT delivery_id, error_kind, duration_ms, attempt_number, started_at FROM noteflow.webhook_attempts
        WHERE id >= minute.first AND id < minute.last OFFSET 0
    ) AS made
    CROSS JOIN LATERAL (
        SELECT workspace_id, webhook_id, event_type, event_id, delivered_at, passes_filter
        FROM noteflow.webhook_deliveries WHERE id = made.delivery_id LIMIT 1
    ) AS delivery
), made AS MATERIALIZED (
    SELECT at, workspace_id, webhook_id, event_type, failure, {bin_sql("duration_ms::bigint")} AS bin,
           least(attempt_number, {MOST_TRIES}) AS tries, count(*) AS count, sum(duration_ms)::bigint AS total_ms,
           sum(attempt_number)::bigint AS attempts,
           max(started_at + duration_ms * interval '1 ms') AS ended_at
    FROM attempt GROUP BY 1, 2, 3, 4, 5, 6, 7
), ended AS MATERIALIZED (
    SELECT minute.at, delivery.* FROM minute CROSS JOIN LATERAL (
        SELECT workspace_id, webhook_id, event_type, status, {ENDED_BY} AS kind, attempt_count
        FROM ONLY noteflow.webhook_deliveries
        WHERE status IN ('dead', 'skipped') AND settled_at >= minute.begins AND settled_at < minute.ends
        UNION ALL
        SELECT workspace_id, webhook_id, event_type, status, kind, attempt_count
        FROM noteflow.stats_resent WHERE settled_at >= minute.begins AND settled_at < minute.ends
    ) AS delivery
), own AS MATERIALIZED (
    SELECT at, workspace_id, webhook_id, event_type, '{Measure.ATTEMPT}' AS measure,
           coalesce(failure, '{SUCCEEDED}') AS kind, bin, sum(count)::bigint AS count, sum(total_ms)::bigint AS total_ms
    FROM made GROUP BY 1, 2, 3, 4, 6, 7
    UNION ALL
    SELECT at, workspace_id, webhook_id, event_type, status, kind, 0, count(*), 0 FROM ended GROUP BY 1, 2, 3, 4, 5, 6
), whole AS MATERIALIZED (
    SELECT at, workspace_id, event_type, measure, kind, bin, sum(count)::bigint AS count,
           sum(total_ms)::bigint AS total_ms
    FROM own GROUP BY at, workspace_id, event_type, measure, kind, bin
    UNION ALL
    SELECT at, workspace_id, event_type, '{Measure.LATENCY}', CASE attempt_number WHEN 1 THEN 'first' ELSE 'later' END,
           {bin_sql("latency_ms")}, count(*), sum(latency_ms)
    FROM attempt WHERE latency_ms IS NOT NULL GROUP BY 1, 2, 3, 5, 6
    UNION ALL
    SELECT at, workspace_id, event_type, '{Measure.TRIES}', kind, tries, sum(count)::bigint, sum(attempts)
    FROM (
        SELECT at, workspace_id, event_type, '{SUCCEEDED}' AS kind, tries, count, attempts
        FROM made WHERE failure IS NULL
        UNION ALL
        SELECT at, workspace_id, event_type, status, least(attempt_count, {MOST_TRIES}), 1, attempt_count
        FROM ended WHERE status = 'dead'
    ) AS tried GROUP BY 1, 2, 3, 5, 6
    UNION ALL
    SELECT minute.at, workspace_id, event_type, '{Measure.EVENT}', '{NO_KIND}', 0, sum(count)::bigint, 0
    FROM minute CROSS JOIN LATERAL (
        SELECT workspace_id, event_type, count(*) AS count FROM noteflow.webhook_events
        WHERE payload_erased_at IS NULL AND created_at >= minute.begins AND created_at < minute.ends GROUP BY 1, 2
        UNION ALL
        SELECT workspace_id, event_type, count(*) AS count FROM noteflow.webhook_events
        WHERE payload_erased_at IS NOT NULL AND created_at >= minute.begins AND created_at < minute.ends GROUP BY 1, 2
    ) AS stored GROUP BY 1, 2, 3
), counted AS MATERIALIZED (
    SELECT * FROM own
    UNION ALL
    SELECT at, workspace_id, {_ALL}, event_type, measure, kind, bin, count, total_ms FROM whole
    UNION ALL
    SELECT at, workspace_id, {_EVERYTHING}, '', measure, kind, bin, sum(count)::bigint, sum(total_ms)::bigint
    FROM whole GROUP BY at, workspace_id, measure, kind, bin
)
"""  # noqa: S608 - put together from constants
_KEY: Final = "workspace_id, webhook_id, at, event_type, measure, kind, bin"


def _added(table: str) -> str:
    return f"""
    ON CONFLICT ({_KEY if table != "stats_totals" else "measure, kind, bin"})
    DO UPDATE SET count = own.count + EXCLUDED.count, total_ms = own.total_ms + EXCLUDED.total_ms
"""


def _count(fresh: str) -> str:
    """Return the statement that adds what is ``fresh`` of what was counted."""
    return f"""
WITH {_HAPPENED}, fresh AS MATERIALIZED ({fresh}), minutes AS (
    INSERT INTO noteflow.stats_minutes AS own ({_KEY}, count, total_ms)
    SELECT {_KEY}, count, total_ms FROM fresh ORDER BY workspace_id, webhook_id, at
    {_added("stats_minutes")}
), hours AS (
    INSERT INTO noteflow.stats_hours AS own ({_KEY}, count, total_ms)
    SELECT workspace_id, webhook_id, date_trunc('hour', at, 'UTC'), event_type, measure, kind, bin, sum(count),
           sum(total_ms)
    FROM fresh GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3
    {_added("stats_hours")}
), totals AS (
    INSERT INTO noteflow.stats_totals AS own (measure, kind, bin, count, total_ms)
    SELECT measure, CASE WHEN measure <> '{Measure.EVENT}' THEN kind
                         WHEN event_type LIKE '{CUSTOM}%' THEN '{CUSTOM.rstrip(".")}' ELSE event_type END,
           bin, sum(count), sum(total_ms)
    FROM fresh WHERE webhook_id = {_ALL} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    {_added("stats_totals")}
), facts AS (
    INSERT INTO noteflow.stats_endpoints AS own (webhook_id, workspace_id, last_success_at, last_failure_at)
    SELECT webhook_id, workspace_id, max(ended_at) FILTER (WHERE failure IS NULL),
           max(ended_at) FILTER (WHERE failure IS NOT NULL)
    FROM made GROUP BY 1, 2 ORDER BY 1
    ON CONFLICT (webhook_id) DO UPDATE
    SET last_success_at = greatest(own.last_success_at, EXCLUDED.last_success_at),
        last_failure_at = greatest(own.last_failure_at, EXCLUDED.last_failure_at)
)
SELECT count(*) FROM fresh
"""  # noqa: S608 - put together from constants


#: Counts a window that was not counted before.
COUNT: Final = text(_count("SELECT * FROM counted"))
#: Counts a window once more, from the beginning of a minute on, and adds what there was not: after the clock was set
#: back, what is new has moments that were counted already.
RECOUNT: Final = text(
    _count(f"""
    SELECT {_KEY}, counted.count - coalesce(before.count, 0) AS count,
           greatest(0, counted.total_ms - coalesce(before.total_ms, 0)) AS total_ms
    FROM counted LEFT JOIN noteflow.stats_minutes AS before USING ({_KEY})
    WHERE counted.count > coalesce(before.count, 0)
""")  # noqa: S608 - put together from constants
)
COUNTED_TO: Final = text("SELECT counted_to FROM noteflow.stats_progress")
TOTALS: Final = text(
    "SELECT measure, kind, bin, count, total_ms FROM noteflow.stats_totals ORDER BY measure, kind, bin"
)


def _removal(table: str) -> str:
    """Return the statement that removes what is old; those that read look for none by its time alone."""
    return f"""
WITH old AS MATERIALIZED (
    SELECT ctid AS place FROM noteflow.{table}
    WHERE at AT TIME ZONE 'UTC' <= (now() - CAST(:age AS interval)) AT TIME ZONE 'UTC' LIMIT :limit
), gone AS (
    DELETE FROM noteflow.{table} WHERE ctid = ANY(ARRAY(SELECT place FROM old)) RETURNING at
)
SELECT count(*) AS rows, max(at) AS moment FROM gone
"""  # noqa: S608 - our own names


REMOVE_MINUTES: Final = text(_removal("stats_minutes"))
REMOVE_HOURS: Final = text(_removal("stats_hours"))
