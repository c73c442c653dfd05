"""Empties the database between tests: by DELETE, which for a handful of rows costs a tenth of TRUNCATE."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

#: The tables, but those that inherit: their rows are among those of the table that they inherit from.
_TABLES: Final = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'noteflow'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
      AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
"""
_OWN: Final = "SET LOCAL session_replication_role = origin"
#: Triggers refuse some of it, and foreign keys ask for an order, but in a session that is a replica's.
_AS_REPLICA: Final = "SET LOCAL session_replication_role = replica"
#: What many rows leave behind has to be visited by whoever reads after them.
_LARGE: Final = "SELECT pg_relation_size('noteflow.webhook_deliveries') > 4 * 1024 * 1024"
_NEW_FILES: Final = (
    "TRUNCATE noteflow.webhook_deliveries, noteflow.delivery_queue, noteflow.webhook_attempts, noteflow.webhook_events"
    " CASCADE"
)


class Emptier:
    """Deletes every row of the project's tables, as a superuser, by a connection that stays while tests leave it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._statements: sql.Composed | None = None

    def __call__(self) -> None:
        """Empty the tables, which must be there by now."""
        try:
            self._empty(self._connected())
        except psycopg.OperationalError:
            # A test has ended the sessions of this server.
            self.close()
            self._empty(self._connected())

    def close(self) -> None:
        """Let go of its connection; the next use makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True)
        return self._connection

    def _empty(self, connection: psycopg.Connection) -> None:
        if self._statements is None:
            names = [sql.Identifier("noteflow", name) for [name] in connection.execute(_TABLES)]
            deletes = [sql.SQL("DELETE FROM {}").format(name) for name in names]
            self._statements = sql.SQL("; ").join([sql.SQL(_AS_REPLICA), *deletes, sql.SQL(_OWN), sql.SQL(_LARGE)])
        with connection.transaction():
            cursor = connection.execute(self._statements)
            while cursor.nextset():
                pass
            if cursor.fetchall() == [(True,)]:
                connection.execute(_NEW_FILES)
