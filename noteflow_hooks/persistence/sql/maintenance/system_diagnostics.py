"""How the system around the database does, for `doctor`: endpoints of all workspaces, certificates, who is connected.

Reads only, but for one temporary table that is rolled back: a disk that is full shows nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from noteflow_hooks.concurrency.identity import PROJECT, Process, process_of
from noteflow_hooks.persistence.sql.certificate_infos import infos_of
from noteflow_hooks.persistence.sql.maintenance.mail_diagnostics import Mails, mails_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Engine

#: So many endpoints with certificates are looked at.
MOST_CERTIFICATES: Final = 10_000

#: By the states of domain.health.endpoint_state; what the system has disabled is told apart from what people have.
_ENDPOINTS = text("""
SELECT count(*) FILTER (WHERE enabled) AS enabled,
       count(*) FILTER (WHERE enabled AND paused_at IS NULL AND open_until IS NOT NULL) AS circuit_open,
       count(*) FILTER (WHERE enabled AND paused_at IS NULL AND open_until IS NULL AND failures > 0) AS failing,
       count(*) FILTER (WHERE enabled AND paused_at IS NULL AND open_until IS NULL AND failures = 0
                              AND slow_since IS NOT NULL) AS slow,
       count(*) FILTER (WHERE enabled AND paused_at IS NOT NULL) AS paused,
       count(*) FILTER (WHERE NOT enabled AND disabled_reason IS NOT NULL) AS disabled,
       count(*) FILTER (WHERE NOT enabled AND disabled_reason IS NOT NULL
                              AND config.updated_at > now() - interval '1 day') AS disabled_today
FROM noteflow.webhook_configs AS config LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id
WHERE config.deleted_at IS NULL
""")
_OPEN_LONGEST = text("""
SELECT config.id, health.failing_since FROM noteflow.webhook_health AS health
JOIN noteflow.webhook_configs AS config ON config.id = health.webhook_id
WHERE health.open_until IS NOT NULL AND config.enabled AND config.deleted_at IS NULL
ORDER BY health.failing_since NULLS LAST
LIMIT :limit
""")
_CERTIFICATES = text("""
SELECT id, certificate_info FROM noteflow.webhook_configs
WHERE certificate_info IS NOT NULL AND enabled AND deleted_at IS NULL
LIMIT :limit
""")
_PROCESSES = text("""
SELECT application_name, count(*) AS connections FROM pg_stat_activity
WHERE application_name ^@ :project GROUP BY application_name
""")
#: It takes a page of the disk, for which there may be no room.
_FILLER = text("""
CREATE TEMPORARY TABLE noteflow_doctor ON COMMIT DROP AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, 100)
""")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How many endpoints there are of all workspaces, by what they do; those that are not enabled are ``disabled``."""

    enabled: int
    circuit_open: int
    failing: int
    slow: int
    paused: int
    #: By the system, and of those in the last day.
    disabled: int
    disabled_today: int
    #: Some whose breaker is open, those that have failed for longest first.
    named: Sequence[UUID] = ()


class SystemDiagnostics:
    """Asks the database about the system. Whatever does not answer, or refuses, raises :class:`UnavailableError`."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine's connections."""
        self._engine = engine
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def takes_writes(self) -> bool:
        """Return whether the disk took a page; False where our role may not try, and an error where it takes none."""
        with self._engine.connect() as connection:
            try:
                connection.execute(_FILLER)
            except DBAPIError as error:
                if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                    return False
                raise
            finally:
                connection.rollback()
        return True

    def endpoints(self, *, named: int) -> Endpoints:
        """Return how the endpoints of all workspaces do, and at most so many of those whose breaker is open."""
        with self._alone.connect() as connection:
            row = connection.execute(_ENDPOINTS).mappings().one()
            ids = (
                [each.id for each in connection.execute(_OPEN_LONGEST, {"limit": named})] if row["circuit_open"] else []
            )
        return Endpoints(**row, named=ids)

    def certificate_ends(self) -> Mapping[UUID, datetime]:
        """Return when the endpoints' client certificates end."""
        with self._alone.connect() as connection:
            rows = connection.execute(_CERTIFICATES, {"limit": MOST_CERTIFICATES}).all()
        infos = {row.id: infos_of(row.certificate_info)[0] for row in rows}
        return {key: info.not_after for key, info in infos.items() if info is not None}

    def mails(self) -> Mails:
        """Return how the mails to endpoints' contacts do."""
        with self._alone.connect() as connection:
            return mails_of(connection)

    def processes(self) -> Mapping[Process, int]:
        """Return the processes of ours that are connected, as they name themselves, with their connections."""
        with self._alone.connect() as connection:
            rows = connection.execute(_PROCESSES, {"project": PROJECT}).all()
        found: dict[Process, int] = {}
        for row in rows:
            process = process_of(row.application_name)
            if process is not None:
                found[process] = found.get(process, 0) + row.connections
        return found

    def has_pooler(self) -> bool:
        """Return whether what answers is a pooler: it makes up the process ids of its sessions."""
        with self._alone.connect() as connection:
            own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            driver = connection.connection.driver_connection
        return isinstance(driver, psycopg.Connection) and driver.info.backend_pid != own
