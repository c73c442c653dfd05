"""When a sweep may reclaim: not right after PostgreSQL was away.

While it is, leases run out, and workers hold results that they could not store. They try again after two seconds at the
most, and a try may take five to connect. So the first sweep that meets a server which has started, has crashed, or has
taken over since the last one notes that, and for a while what was claimed before is left to its workers. The while is
counted from that sweep and not from the server's start: a server answers nobody before it has recovered, however long
that takes, and a standby has run for long when it takes over.

Servers are told apart by the later of two moments that every role may read: when the postmaster began, and since when
the archiver is counted. Each crash begins that count anew, also one that the postmaster outlives; and a standby has
both of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from noteflow_hooks.domain.ports.maintenance import SWEEP

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

#: How long workers have to store what they hold: the longest pause between two tries, a whole try to connect, and three
#: seconds more for a machine that has much to do just then.
PATIENCE: Final = timedelta(seconds=10)
#: The row of `task_runs` that says which server the sweep has met, and since when it knows it.
MET: Final = f"{SWEEP} met this server"

_LOOK: Final = text("""
SELECT server.began_at, run.began_at AS known, run.ended_at AS met_at, clock_timestamp() - run.ended_at AS met_for
FROM (SELECT greatest(pg_postmaster_start_time(), stats_reset) AS began_at FROM pg_stat_archiver) AS server
LEFT JOIN noteflow.task_runs AS run ON run.name = :name
""")
#: Where no sweep has met any server, nobody holds what another server was away with.
_NOTE: Final = text("""
INSERT INTO noteflow.task_runs (name, began_at, ended_at) VALUES (:name, :began_at, to_timestamp(0))
ON CONFLICT (name) DO UPDATE SET began_at = EXCLUDED.began_at, ended_at = clock_timestamp()
RETURNING ended_at
""")
_NO_TIME: Final = timedelta(0)


def claimed_from(connection: Connection) -> datetime | None:
    """Return since when must be claimed what a sweep may reclaim now; None where anything may.

    To be asked in the sweep's transaction, of which one runs at a time; what it notes counts with the commit.
    """
    row = connection.execute(_LOOK, {"name": MET}).one()
    if row.known == row.began_at:
        return row.met_at if _NO_TIME <= row.met_for < PATIENCE else None
    met_at: datetime = connection.execute(_NOTE, {"name": MET, "began_at": row.began_at}).scalar_one()
    return None if row.known is None else met_at
