"""How much purging slows delivering: the rates of a loop that delivers, with a purge beside it and without.

It is run by itself: ``python -m noteflow_hooks.bench.purging``. An embedded PostgreSQL is filled with a million rows
that are old enough to be purged: events with payloads, deliveries, and attempts with answers. The loop does all that a
worker does to the database, with results that come at once. Short slices with and without the purge alternate, so that
a busy machine slows both. It takes about three minutes and ends by itself.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from sqlalchemy import text

from noteflow_hooks import bootstrap
from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.deliveries import AttemptResult, Settlement
from noteflow_hooks.domain.retry import RetryPolicy
from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.maintenance.retention import Periods, RetentionService
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.deliveries import Claim

CHUNK: Final = 50
ENDPOINTS: Final = 10
TABLES: Final = ("webhook_events", "webhook_deliveries", "webhook_attempts")
_ANSWER: Final = '{"received": true}'

#: Workspaces with one endpoint each, older than all events.
_ENDPOINTS: Final = text("""
WITH owner AS (
    INSERT INTO noteflow.workspaces (name) SELECT 'bench ' || n FROM generate_series(1, :count) AS n RETURNING id
)
INSERT INTO noteflow.webhook_configs (workspace_id, url, events, created_at)
SELECT id, 'https://receiver.example/hooks', '{meeting.completed}', now() - interval '300 days' FROM owner
""")
#: Events of 200 to 100 days ago, each with a delivery that succeeded; every thirtieth at the second attempt.
_OLD: Final = text("""
WITH config AS (
    SELECT id, workspace_id, row_number() OVER () - 1 AS place FROM noteflow.webhook_configs
), event AS (
    INSERT INTO noteflow.webhook_events
        (workspace_id, event_type, meeting_id, payload, occurred_at, created_at, dispatched_at)
    SELECT config.workspace_id, 'meeting.completed', 'm-' || n, payload, happened, happened, happened
    FROM generate_series(1, :count) AS n JOIN config ON config.place = n % :endpoints
    CROSS JOIN LATERAL (SELECT now() - interval '200 days' + n * interval '100 days' / :count AS happened) AS moment
    CROSS JOIN LATERAL (SELECT json_build_object('event', 'meeting.completed', 'meeting_id', 'm-' || n, 'title',
                                                 'Weekly', 'duration_seconds', 1800.5, 'segment_count', 250) AS payload)
    RETURNING id, workspace_id, created_at
), delivery AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, status_code, response_body, attempt_count, duration_ms,
         delivered_at, created_at)
    SELECT workspace_id, config.id, event.id, 'meeting.completed', 'succeeded', 200, :answer, 1, 20, created_at,
           created_at
    FROM event JOIN config USING (workspace_id)
    RETURNING id, created_at
)
INSERT INTO noteflow.webhook_attempts
    (delivery_id, attempt_number, started_at, duration_ms, status_code, response_body)
SELECT id, number, created_at, 20, 200, :answer
FROM (SELECT *, row_number() OVER () AS n FROM delivery) AS numbered
CROSS JOIN LATERAL generate_series(1, CASE WHEN n % 30 = 0 THEN 2 ELSE 1 END) AS number
""")
_NEW: Final = text("""
INSERT INTO noteflow.webhook_events (workspace_id, event_type, meeting_id, payload, occurred_at)
SELECT workspace_id, 'meeting.completed', 'm-new', '{"event":"meeting.completed","meeting_id":"m-new"}', now()
FROM noteflow.webhook_configs, generate_series(1, :each) RETURNING id
""")


class Bench:
    """The filled database, with delivering and purging."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = SqlAlchemyDeliveryStore(engine, SecretBox([]))
        self._purging = RetentionService(SqlAlchemyRetentionStore(engine), Periods())
        self.purged: Counter[str] = Counter()
        self.delivered = 0
        #: The rest after the last purge that is still due, carried over from one slice to the next.
        self._owed_s = 0.0

    def fill(self, events: int) -> None:
        """Store the endpoints and the old rows."""
        with self._engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(_ENDPOINTS, {"count": ENDPOINTS})
            connection.execute(_OLD, {"count": events, "endpoints": ENDPOINTS, "answer": _ANSWER})
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
            connection.execute(text("RESET statement_timeout"))

    def rows(self) -> int:
        """Return how many rows the three large tables have."""
        with self._engine.begin() as connection:
            return sum(connection.scalar(text(f"SELECT count(*) FROM noteflow.{table}")) or 0 for table in TABLES)  # noqa: S608 - the names above

    def deliver(self, seconds: float) -> float:
        """Deliver for so long; return the deliveries a second."""
        began, done = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            with self._engine.begin() as connection:
                event_ids = list(connection.scalars(_NEW, {"each": CHUNK // ENDPOINTS}))
            made = self._store.dispatch(event_ids, limit=2000)
            claims = self._store.claim(made.delivery_ids, limit=CHUNK, lease_slack=timedelta(seconds=10))
            done += len(self._store.settle([_settled(claim) for claim in claims]).fencing_keys)
        self.delivered += done
        return done / (time.monotonic() - began)

    @contextmanager
    def purging(self) -> Iterator[None]:
        """Purge while the block runs, one call after another."""
        ended = threading.Event()

        def purge() -> None:
            while not self._rest(ended):
                done = self._purging.purge()
                self.purged += done
                self._owed_s = done.rest.total_seconds()

        thread = threading.Thread(target=purge)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _rest(self, ended: threading.Event) -> bool:
        """Rest for as long as is due; tell whether the slice ended during it."""
        began = time.monotonic()
        cut = ended.wait(self._owed_s)
        self._owed_s = max(0.0, self._owed_s - (time.monotonic() - began))
        return cut


def _settled(claim: Claim) -> Settlement:
    result = AttemptResult(started_at=datetime.now(UTC), duration_ms=20, status_code=200, response_body=_ANSWER)
    after, wait = claim.delivery.attempted(result, max_retries=3, policy=RetryPolicy(), draw=0.5)
    return Settlement(after, wait=wait, attempt=result)


def _round(bench: Bench, *, slices: int, seconds: float) -> tuple[list[float], list[float]]:
    """Deliver in short slices, in turn without the purge and with it; return the rates of both."""
    alone: list[float] = []
    beside: list[float] = []
    for number in range(slices):
        # Which comes first alternates, so that slow changes of the machine hit both alike.
        for purges in (False, True) if number % 2 else (True, False):
            if purges:
                with bench.purging():
                    beside.append(bench.deliver(seconds))
            else:
                alone.append(bench.deliver(seconds))
    return alone, beside


def _run(bench: Bench, *, rounds: int, slices: int, seconds: float) -> None:
    click.echo(f"{'round':>5}  {'alone/s':>8}  {'beside/s':>8}  {'ratio':>5}  {'rows removed':>12}")
    bench.deliver(seconds)
    both: list[tuple[float, float]] = []
    for number in range(1, rounds + 1):
        before, delivered = bench.rows(), bench.delivered
        alone, beside = _round(bench, slices=slices, seconds=seconds)
        # Each delivery adds a row to each of the three tables.
        removed = before + (bench.delivered - delivered) * len(TABLES) - bench.rows()
        both += zip(alone, beside, strict=True)
        rates = statistics.median(alone), statistics.median(beside)
        click.echo(f"{number:>5}  {rates[0]:>8.0f}  {rates[1]:>8.0f}  {rates[1] / rates[0]:>5.2f}  {removed:>12,}")
    ratio = statistics.median(beside / alone for alone, beside in both)
    words = ", ".join(f"{count:,} {name}" for name, count in bench.purged.items() if count)
    click.echo(f"median ratio {ratio:.2f} of {len(both)} pairs; purged in {len(both) * seconds:.0f} s: {words}")


def main() -> None:
    """Fill, run the rounds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=330_000, help="each has a delivery and an attempt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=5, help="of each kind in a round")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a slice")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="noteflow-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "data") as postgres,
    ):
        bootstrap.migrate(Settings(_env_file=None, database_url=postgres.url))
        engine = create_engine(postgres.url)
        bench = Bench(engine)
        began = time.monotonic()
        bench.fill(arguments.events)
        click.echo(f"{bench.rows():,} rows in {time.monotonic() - began:.0f} s")
        _run(bench, rounds=arguments.rounds, slices=arguments.slices, seconds=arguments.seconds)
        engine.dispose()


if __name__ == "__main__":
    main()
