"""The roll-ups in PostgreSQL, as they are read: a few statements, the same for each span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import MAX_TOTAL
from noteflow_hooks.domain.ports.stats import EndpointFacts, Present, StatsRepository
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.stats import Count, Measure
from noteflow_hooks.persistence.sql.moves import ENDED_BY
from noteflow_hooks.persistence.sql.stats_keys import ALL_ENDPOINTS, EVERYTHING
from noteflow_hooks.persistence.sql.webhooks import STATE
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.stats import StatsQuery
    from noteflow_hooks.persistence.sql.work import Work

_COUNTED_TO: Final = Statement("SELECT counted_to FROM noteflow.stats_progress", reads=True)


def _within(begins: str, ends: str) -> str:
    return f"at >= CAST(:{begins} AS timestamptz) AND at < CAST(:{ends} AS timestamptz)"


_PIECES: Final = (
    ("stats_minutes", _within("before_begins", "before_ends")),
    ("stats_hours", _within("hours_begin", "hours_end")),
    ("stats_minutes", _within("behind_begins", "behind_ends")),
)


def _counts(*keys: str, own: str) -> Statement:
    """Return the statement for the counts by the ``keys``, of the rows that are ``own``."""
    names = ", ".join(f"key_{number}" for number, _ in enumerate(keys))
    by = ", ".join(f"{key} AS key_{number}" for number, key in enumerate(keys))
    pieces = " UNION ALL ".join(
        f"SELECT {by}, measure, kind, bin, count, total_ms FROM noteflow.{table}"  # noqa: S608 - constants
        f" WHERE workspace_id = :workspace_id AND {own} AND {span}"
        " AND (CAST(:event_type AS text) IS NULL OR event_type = CAST(:event_type AS text))"
        f" AND (CAST(:outcome AS text) IS NULL OR measure <> '{Measure.ATTEMPT}' OR kind = CAST(:outcome AS text))"
        for table, span in _PIECES
    )
    return Statement(
        f"SELECT {names}, measure, kind, bin, sum(count)::bigint, sum(total_ms)::bigint"  # noqa: S608 - constants
        f" FROM ({pieces}) AS piece GROUP BY {names}, measure, kind, bin",
        reads=True,
        # Planned for the span that is asked for: it may be an hour or ninety days.
        is_kept=False,
    )


_OF_ONE: Final = "webhook_id = :webhook_id"
#: The number of the time bucket, counted from the span's beginning.
_POINT: Final = """
floor(extract(epoch FROM at - CAST(:begins AS timestamptz)) / CAST(:bucket_s AS double precision))::bigint
"""
_BY_POINT: Final = _counts(_POINT, own=_OF_ONE)
_BY_TYPE: Final = _counts("event_type", own=_OF_ONE)
_BY_ENDPOINT: Final = _counts("webhook_id", _POINT, own="webhook_id = ANY(CAST(:webhook_ids AS uuid[]))")
_WAITING: Final = f"""
SELECT count(*) FROM (
    SELECT FROM noteflow.delivery_queue AS own
    WHERE own.webhook_id = config.id AND own.status = 'pending' AND own.held = {{held}} LIMIT {MAX_TOTAL}
) AS own
"""  # noqa: S608 - constants
_FACTS: Final = Statement(
    f"""
SELECT config.id, fact.last_success_at, fact.last_failure_at,
       ({_WAITING.format(held="true")}) AS held, ({_WAITING.format(held="false")}) AS free
FROM noteflow.webhook_configs AS config
LEFT JOIN noteflow.stats_endpoints AS fact ON fact.webhook_id = config.id
WHERE config.id = ANY(CAST(:webhook_ids AS uuid[])) AND config.workspace_id = :workspace_id
  AND config.deleted_at IS NULL
""",  # noqa: S608 - constants
    reads=True,
)
_UNDISPATCHED: Final = Statement(
    f"""
SELECT count(*) FILTER (WHERE workspace_id = :workspace_id) AS total FROM (
    SELECT workspace_id FROM noteflow.webhook_events WHERE dispatched_at IS NULL
    ORDER BY created_at, id LIMIT {MAX_TOTAL}
) AS waiting
""",  # noqa: S608 - constants
    reads=True,
)


def _queued(own: str) -> Statement:
    return Statement(
        f"""
SELECT status, held, count(*) AS total FROM (
    SELECT status, held FROM noteflow.delivery_queue WHERE {own} ORDER BY created_at DESC, id DESC LIMIT {MAX_TOTAL}
) AS queued GROUP BY status, held
""",  # noqa: S608 - constants
        reads=True,
    )


def _settled(own: str) -> Statement:
    return Statement(
        f"""
SELECT status, {ENDED_BY} AS kind, count(*) AS total
FROM (
    SELECT status, error_kind, skip_reason FROM ONLY noteflow.webhook_deliveries WHERE {own}
    ORDER BY created_at DESC, id DESC LIMIT {MAX_TOTAL}
) AS settled GROUP BY 1, 2
""",  # noqa: S608 - constants
        reads=True,
        is_kept=False,
    )


_QUEUED: Final = _queued("workspace_id = :workspace_id")
_QUEUED_FOR: Final = _queued("webhook_id = :webhook_id")
_ENDED: Final = _settled(
    f"workspace_id = :workspace_id AND status <> 'succeeded' AND skip_reason IS DISTINCT FROM '{SkipReason.FILTERED}'"
)
_ENDED_OF: Final = _settled("webhook_id = :webhook_id")
_ENDPOINTS: Final = Statement(
    f"""
SELECT ({STATE}) AS state, count(*) AS total
FROM noteflow.webhook_configs AS config LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id
WHERE config.workspace_id = :workspace_id AND config.deleted_at IS NULL GROUP BY 1
""",  # noqa: S608 - constants
    reads=True,
)


class SqlAlchemyStatsRepository(StatsRepository):
    """The roll-ups, as they are read, in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def counted_to(self) -> datetime | None:
        row = self._work.ask(_COUNTED_TO).first()
        return None if row is None else row.counted_to

    @override
    def by_point(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[datetime, Count]]:
        bucket = query.bucket if query.bucket is not None else query.span.ends - query.span.begins
        params = _params(workspace_id, query)
        is_whole = query.webhook_id is None and query.event_type is None
        rows = self._work.ask(
            _BY_POINT,
            webhook_id=EVERYTHING if is_whole else _endpoint(query),
            begins=query.span.begins,
            bucket_s=bucket.total_seconds(),
            **params,
        ).all()
        return [(query.span.begins + number * bucket, Count(*count)) for number, *count in self._work.by_turns(rows)]

    @override
    def by_type(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[str, Count]]:
        rows = self._work.ask(_BY_TYPE, webhook_id=_endpoint(query), **_params(workspace_id, query)).all()
        return [(key, Count(*count)) for key, *count in self._work.by_turns(rows)]

    @override
    def by_endpoint(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[tuple[UUID, datetime], Count]]:
        bucket, begins = query.endpoint_bucket, query.span.begins
        rows = self._work.ask(
            _BY_ENDPOINT,
            webhook_ids=list(query.webhook_ids),
            begins=begins,
            bucket_s=bucket.total_seconds(),
            **_params(workspace_id, query),
        ).all()
        return [((own, begins + number * bucket), Count(*count)) for own, number, *count in self._work.by_turns(rows)]

    @override
    def facts(self, workspace_id: UUID, webhook_ids: Collection[UUID]) -> Mapping[UUID, EndpointFacts]:
        rows = self._work.ask(_FACTS, workspace_id=workspace_id, webhook_ids=list(webhook_ids)).all()
        return {
            row.id: EndpointFacts(
                row.last_success_at, row.last_failure_at, min(row.held + row.free, MAX_TOTAL), row.held
            )
            for row in self._work.by_turns(rows)
        }

    @override
    def present(self, workspace_id: UUID, *, webhook_id: UUID | None) -> Present:
        if webhook_id is not None:
            own: dict[str, Any] = {"webhook_id": webhook_id}
            queued, settled = self._work.ask(_QUEUED_FOR, **own), self._work.ask(_ENDED_OF, **own)
            return _present(queued.all(), settled.all())
        own = {"workspace_id": workspace_id}
        undispatched, endpoints = self._work.ask(_UNDISPATCHED, **own), self._work.ask(_ENDPOINTS, **own)
        queued, settled = self._work.ask(_QUEUED, **own), self._work.ask(_ENDED, **own)
        states = {row.state: row.total for row in endpoints.all()}
        return _present(queued.all(), settled.all(), undispatched=undispatched.first().total, endpoints=states)


def _endpoint(query: StatsQuery) -> UUID:
    return query.webhook_id if query.webhook_id is not None else ALL_ENDPOINTS


def _params(workspace_id: UUID, query: StatsQuery) -> dict[str, Any]:
    before, hours, behind = query.pieces
    return {
        "workspace_id": workspace_id,
        "event_type": query.event_type,
        "outcome": query.outcome,
        "before_begins": before.begins,
        "before_ends": before.ends,
        "hours_begin": hours.begins,
        "hours_end": hours.ends,
        "behind_begins": behind.begins,
        "behind_ends": behind.ends,
    }


def _present(
    queued: Sequence[Any], settled: Sequence[Any], *, undispatched: int = 0, endpoints: Mapping[str, int] | None = None
) -> Present:
    pending = [row for row in queued if row.status == DeliveryStatus.PENDING]
    return Present(
        undispatched=undispatched,
        pending=sum(row.total for row in pending),
        throttled=sum(row.total for row in pending if row.held),
        sending=sum(row.total for row in queued if row.status == DeliveryStatus.SENDING),
        dead={row.kind: row.total for row in settled if row.status == DeliveryStatus.DEAD},
        skipped={
            row.kind: row.total
            for row in settled
            if row.status == DeliveryStatus.SKIPPED and row.kind != SkipReason.FILTERED
        },
        has_more=sum(row.total for row in settled) >= MAX_TOTAL,
        endpoints=endpoints if endpoints is not None else {},
    )
