"""How everything stands now, for the exporter: statements that look at indexes of what waits, whatever has settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from noteflow_hooks.domain.stats import Count
from noteflow_hooks.persistence.sql.certificate_infos import infos_of
from noteflow_hooks.persistence.sql.maintenance.rollup_statements import TOTALS
from noteflow_hooks.persistence.sql.webhooks import STATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Engine

#: Beyond this nobody counts, as `doctor` doesn't.
MOST: Final = 10_000


def _counted(name: str, rows: str) -> str:
    return f"(SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT {MOST}) AS counted) AS {name}"  # noqa: S608 - constants


def _oldest(name: str, moment: str, rows: str) -> str:
    first = f"SELECT {moment} FROM {rows} ORDER BY {moment} LIMIT 1"  # noqa: S608 - constants
    return f"coalesce(extract(epoch FROM clock_timestamp() - ({first})), 0) AS {name}"


_EVENTS: Final = "noteflow.webhook_events WHERE dispatched_at IS NULL"
# rule of domain.deliveries.WebhookDelivery.is_due
_DUE: Final = "noteflow.delivery_queue WHERE status = 'pending' AND NOT held AND next_attempt_at <= now()"
# rule of domain.deliveries.WebhookDelivery.is_expired
_EXPIRED: Final = "noteflow.delivery_queue WHERE status = 'sending' AND lease_expires_at <= now()"
_MAILS: Final = "noteflow.webhook_mails WHERE state = 'waiting'"
_WAITING: Final = {
    "events_undispatched": _counted("events_undispatched", _EVENTS),
    "events_undispatched_oldest_seconds": _oldest("events_undispatched_oldest_seconds", "created_at", _EVENTS),
    "deliveries_due": _counted("deliveries_due", _DUE),
    "deliveries_due_oldest_seconds": _oldest("deliveries_due_oldest_seconds", "next_attempt_at", _DUE),
    # Each partial index is small where its state is rare, and read up to the limit where it is not.
    "deliveries_held": _counted("deliveries_held", "noteflow.delivery_queue WHERE status = 'pending' AND held"),
    "deliveries_sending": _counted("deliveries_sending", "noteflow.delivery_queue WHERE status = 'sending'"),
    "leases_expired": _counted("leases_expired", _EXPIRED),
    "leases_expired_oldest_seconds": _oldest("leases_expired_oldest_seconds", "lease_expires_at", _EXPIRED),
    "mails_waiting": _counted("mails_waiting", _MAILS),
    "mails_waiting_oldest_seconds": _oldest("mails_waiting_oldest_seconds", "created_at", _MAILS),
    "replays_running": _counted("replays_running", "noteflow.webhook_replays WHERE state = 'running'"),
}
STANDING: Final = text(f"SELECT {', '.join(_WAITING.values())}")
COUNTED_TO: Final = text("SELECT counted_to FROM noteflow.stats_progress")
_ENDPOINTS: Final = text(f"""
SELECT ({STATE}) AS state, count(*) AS total
FROM noteflow.webhook_configs AS config LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id
WHERE config.deleted_at IS NULL GROUP BY 1
""")  # noqa: S608 - constants
_CERTIFICATES: Final = text("""
SELECT certificate_info FROM noteflow.webhook_configs
WHERE certificate_info IS NOT NULL AND enabled AND deleted_at IS NULL
""")
_CONNECTIONS: Final = text("""
SELECT (SELECT sum(numbackends)::int FROM pg_stat_database) AS open, current_setting('max_connections')::int AS most
""")


class Standing:
    """Asks the database. Whatever does not answer, or refuses, raises :class:`UnavailableError`."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections, for a statement each."""
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def waiting(self) -> Mapping[str, float]:
        """Return how many wait, by the metric's name, and for how many seconds the first of them has."""
        with self._alone.connect() as connection:
            return {name: float(value) for name, value in connection.execute(STANDING).mappings().one().items()}

    def totals(self) -> tuple[Sequence[Count], datetime | None]:
        """Return the running totals, and up to when they have everything."""
        with self._alone.connect() as connection:
            counts = [Count(*row) for row in connection.execute(TOTALS)]
            return counts, connection.execute(COUNTED_TO).scalar()

    def endpoints(self) -> Mapping[str, int]:
        """Return how many endpoints there are in each state."""
        with self._alone.connect() as connection:
            return {row.state: row.total for row in connection.execute(_ENDPOINTS)}

    def first_certificate_end(self) -> datetime | None:
        """Return when the first of the endpoints' client certificates ends."""
        with self._alone.connect() as connection:
            infos = [infos_of(row.certificate_info)[0] for row in connection.execute(_CERTIFICATES)]
        return min((each.not_after for each in infos if each is not None), default=None)

    def connections(self) -> tuple[int, int]:
        """Return how many connections the server has, and how many it takes."""
        with self._alone.connect() as connection:
            row = connection.execute(_CONNECTIONS).one()
        return row.open, row.most
