"""Runs the migrations, over the URL or the connection that the caller put into the configuration."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.orm import SCHEMA, Base

#: The key of the advisory lock by which a second migration waits for the first: any number that nobody else uses.
LOCK = 0x6E666873


def run(connection: Connection) -> None:
    """Migrate over this connection; the version table is in our schema."""
    with connection.begin():
        # No timeout: an index on a large table takes long, and so may waiting for another migration.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table_schema=SCHEMA,
            include_schemas=True,
            include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
            compare_type=True,
            compare_server_default=True,
        )
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run over a connection; --sql is not supported")

engine = create_engine(
    context.config.get_main_option("sqlalchemy.url") or "",
    connections=1,
    is_pooled=bool(context.config.attributes.get("is_pooled")),
)
try:
    with engine.connect() as connection:
        run(connection)
finally:
    engine.dispose()
