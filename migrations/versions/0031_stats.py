"""Roll-ups of what happens, by the minute and by the hour, and running totals.

Up adds tables, a trigger, and a column to the settled deliveries that says when they got there; what has settled before
has none. That rewrites nothing; an index of those that have not succeeded is made while the table stands still, in a
second for a million rows. The first sweep begins to count with the oldest event that is stored, and comes to the
present within minutes. Servers and workers of the release before go on, and what they do is counted.

Down takes the roll-ups away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

#: Whatever is filed there has ended, whoever files it.
_SETTLED_AT = (
    "ALTER TABLE noteflow.webhook_deliveries ADD COLUMN settled_at timestamptz",
    "ALTER TABLE ONLY noteflow.webhook_deliveries ALTER COLUMN settled_at SET DEFAULT clock_timestamp()",
    """
    CREATE INDEX ix_webhook_deliveries_settled_at ON noteflow.webhook_deliveries (settled_at)
    WHERE status IN ('dead', 'skipped')
    """,
)
_REMOVE_STATS = """
CREATE FUNCTION noteflow.remove_stats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[] := ARRAY(SELECT id FROM removed);
BEGIN
    DELETE FROM noteflow.stats_minutes WHERE workspace_id = ANY(gone);
    DELETE FROM noteflow.stats_hours WHERE workspace_id = ANY(gone);
    DELETE FROM noteflow.stats_endpoints WHERE workspace_id = ANY(gone);
    DELETE FROM noteflow.stats_resent WHERE workspace_id = ANY(gone);
    RETURN NULL;
END
$$
"""
_REMOVES_STATS = """
CREATE TRIGGER remove_stats AFTER DELETE ON noteflow.workspaces REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION noteflow.remove_stats()
"""
_TABLES = ("stats_minutes", "stats_hours", "stats_totals", "stats_endpoints", "stats_resent", "stats_progress")


def upgrade() -> None:
    """Change the schema."""
    for statement in _SETTLED_AT:
        op.execute(statement)
    _create_counts()
    _create_facts()
    op.execute("INSERT INTO noteflow.stats_progress (id) VALUES (1)")
    op.execute(_REMOVE_STATS)
    op.execute(_REMOVES_STATS)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER remove_stats ON noteflow.workspaces")
    op.execute("DROP FUNCTION noteflow.remove_stats()")
    for table in _TABLES:
        op.drop_table(table, schema="noteflow")
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN settled_at")


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(collation="C"), nullable=False) for name in names]


def _counts() -> list[sa.Column[int]]:
    return [
        sa.Column("bin", sa.SmallInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total_ms", sa.BigInteger(), nullable=False),
    ]


def _create_counts() -> None:
    for table in ("stats_minutes", "stats_hours"):
        op.create_table(
            table,
            sa.Column("workspace_id", sa.Uuid(), nullable=False),
            sa.Column("webhook_id", sa.Uuid(), nullable=False),
            sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            *_words("event_type", "measure", "kind"),
            *_counts(),
            sa.PrimaryKeyConstraint(
                *("workspace_id", "webhook_id", "at", "event_type", "measure", "kind", "bin"), name=op.f(f"pk_{table}")
            ),
            schema="noteflow",
        )
        # What is written together is of the same time, and goes together. It is by an expression, so that no other
        # statement is led to it. A row is written over and over for as long as its time lasts.
        op.execute(f"CREATE INDEX ix_{table}_age ON noteflow.{table} USING brin ((at AT TIME ZONE 'UTC'))")
        op.execute(f"ALTER TABLE noteflow.{table} SET (fillfactor = 80)")
    op.create_table(
        "stats_totals",
        *_words("measure", "kind"),
        *_counts(),
        sa.PrimaryKeyConstraint("measure", "kind", "bin", name=op.f("pk_stats_totals")),
        schema="noteflow",
    )


def _create_facts() -> None:
    op.create_table(
        "stats_endpoints",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_stats_endpoints")),
        schema="noteflow",
    )
    op.create_index("ix_stats_endpoints_workspace_id", "stats_endpoints", ["workspace_id"], schema="noteflow")
    op.create_table(
        "stats_resent",
        sa.Column("id", sa.Uuid(), server_default=sa.text("noteflow.ordered_id()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        *_words("event_type", "status", "kind"),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stats_resent")),
        schema="noteflow",
    )
    op.create_table(
        "stats_progress",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("counted_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_to", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_stats_progress_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stats_progress")),
        schema="noteflow",
    )
