"""How the database does, for `doctor`: reads only, a statement each, and none that looks through a large table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import inspect, text

from noteflow_hooks.crypto import COLUMNS
from noteflow_hooks.domain.challenges import CHALLENGE_LASTS
from noteflow_hooks.domain.filters import UNAVAILABLE
from noteflow_hooks.persistence.sql.delivery import lookup_statements
from noteflow_hooks.persistence.sql.orm import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import Column

#: Beyond this nobody counts: an index of a million rows would be read for a figure that says no more.
MOST: Final = 10_000

_SERVER = text("""
SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('server_version') AS full_version,
       current_setting('transaction_read_only') = 'on' AS read_only,
       current_setting('fsync') = 'on' AS fsync, current_setting('full_page_writes') = 'on' AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') <> '' AS waits_for_standbys,
       (SELECT count(*) FROM pg_stat_replication) AS standbys,
       (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,
       current_setting('max_connections')::int AS max_connections
""")
_REVISION = text(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608 - our own constant
#: A ciphertext's first five bytes name its form and its key. The array's least one is some row's, whole. A guard alone
#: is no ciphertext.
_SAMPLES = text(rf"""
SELECT count(*) AS ciphertexts, min(ARRAY[config.id::text, each.name, encode(each.sealed, 'hex')]) AS sample
FROM noteflow.webhook_configs AS config CROSS JOIN LATERAL
    (
        VALUES {", ".join(f"('{each}', {each})" for each in COLUMNS)}
    ) AS each (name, sealed)
WHERE each.sealed <> '\x10'
GROUP BY substring(each.sealed FROM 1 FOR 5)
ORDER BY 1 DESC
""")  # noqa: S608 - our own columns


def _waiting(table: str, *, moment: str, where: str) -> str:
    """Return the query for how many rows there are, and since when the first one waits."""
    rows = f"FROM noteflow.{table} WHERE {where}"
    return f"""
SELECT (SELECT count(*) FROM (SELECT 1 {rows} LIMIT :most) AS counted) AS rows, clock_timestamp() AS now,
       (SELECT {moment} {rows} ORDER BY {moment} LIMIT 1) AS since
"""  # noqa: S608 - put together from constants of this file


_BACKLOG = {
    "events": text(_waiting("webhook_events", moment="created_at", where="dispatched_at IS NULL")),
    # rule of domain.deliveries.WebhookDelivery.is_due
    "deliveries": text(
        _waiting(
            "webhook_deliveries",
            moment="next_attempt_at",
            where="status = 'pending' AND NOT held AND next_attempt_at <= now()",
        )
    ),
    # rule of domain.deliveries.WebhookDelivery.is_expired
    "leases": text(
        _waiting(
            "webhook_deliveries", moment="lease_expires_at", where="status = 'sending' AND lease_expires_at <= now()"
        )
    ),
}


#: Endpoints that are asked whether they want deliveries, those that have been for longest first.
_UNVERIFIED = text("""
SELECT id, now() - coalesce(unverified_since, challenge_expires_at - CAST(:lasts AS interval), updated_at) AS waits
FROM noteflow.webhook_configs
WHERE (unverified_since IS NOT NULL OR pending_url IS NOT NULL) AND enabled AND deleted_at IS NULL
ORDER BY waits DESC
LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Unverified:
    """An endpoint that has yet to answer a challenge, and for how long it has been asked."""

    webhook_id: UUID
    waits: timedelta


#: Endpoint by endpoint, of those that have a filter.
_UNJUDGED = text("""
SELECT count(*) AS rows, min(created_at) AS since, clock_timestamp() AS now FROM (
    SELECT waiting.created_at FROM noteflow.webhook_configs AS config CROSS JOIN LATERAL (
        SELECT created_at FROM noteflow.delivery_queue
        WHERE held = ANY('{t,f}') AND webhook_id = config.id AND status = 'pending' AND error_message = :unavailable
        LIMIT :most
    ) AS waiting
    WHERE config.filter <> '' AND config.deleted_at IS NULL
    LIMIT :most
) AS counted
""")


@dataclass(frozen=True, slots=True)
class Server:
    """The database's server, and what it says of itself to our role."""

    #: The major version, and the whole one.
    version: int
    full_version: str
    read_only: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    #: Whether a commit waits for standbys at all, and how many there are.
    waits_for_standbys: bool
    standbys: int
    connections: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the ciphertexts that are under a key, in one form, and how many there are."""

    ciphertexts: int
    webhook_id: UUID
    column: Column
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows wait, at most :data:`MOST`, and for how long the first one has; None where there is none."""

    rows: int
    longest: timedelta | None


class DatabaseDiagnostics:
    """Asks the database. Whatever does not answer, or refuses, raises :class:`UnavailableError`."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections, for a statement each."""
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def server(self) -> Server:
        """Return what the server says of itself."""
        with self._alone.connect() as connection:
            return Server(**connection.execute(_SERVER).mappings().one())

    def revision(self) -> str | None:
        """Return the schema's revision; None where there are no tables of ours."""
        with self._alone.connect() as connection:
            if not inspect(connection).has_table("alembic_version", schema=SCHEMA):
                return None
            found: str | None = connection.scalar(_REVISION)
            return found

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        with self._alone.connect() as connection:
            now: datetime = connection.execute(lookup_statements.NOW).scalar_one()
        return now

    def samples(self) -> Sequence[Sample]:
        """Return one ciphertext for each key, and form, that endpoints' secrets and headers are stored in."""
        with self._alone.connect() as connection:
            rows = connection.execute(_SAMPLES).all()
        return [_sample(row.ciphertexts, *row.sample) for row in rows]

    def unjudged(self) -> Waiting:
        """Return how many deliveries wait for a worker that can ask their endpoints' filters."""
        with self._alone.connect() as connection:
            row = connection.execute(_UNJUDGED, {"most": MOST, "unavailable": UNAVAILABLE}).one()
        return Waiting(row.rows, row.now - row.since if row.since else None)

    def unverified(self) -> Sequence[Unverified]:
        """Return the endpoints that have yet to answer a challenge, those that have been asked for longest first."""
        with self._alone.connect() as connection:
            rows = connection.execute(_UNVERIFIED, {"most": MOST, "lasts": CHALLENGE_LASTS}).all()
        return [Unverified(row.id, row.waits) for row in rows]

    def backlog(self) -> Mapping[str, Waiting]:
        """Return what waits: ``events`` to be dispatched, ``deliveries`` that are due, ``leases`` that have run out."""
        with self._alone.connect() as connection:
            rows = {name: connection.execute(query, {"most": MOST}).one() for name, query in _BACKLOG.items()}
        return {name: Waiting(row.rows, row.now - row.since if row.since else None) for name, row in rows.items()}


def _sample(ciphertexts: int, webhook_id: str, column: Any, sealed: str) -> Sample:  # noqa: ANN401 - one of the three
    return Sample(ciphertexts, UUID(webhook_id), column, bytes.fromhex(sealed))
