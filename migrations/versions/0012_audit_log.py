"""The audit trail, and what is not told yet of breakers that change often.

Up adds two tables, three functions and two triggers, and touches nothing else: servers and workers of the release
before go on, and what they change has no entry. Those of this release need the tables, so migrate before they start.
The role that migrates owns the function by which retention removes old rows, and nobody else may call it: where the
programs use another role, GRANT EXECUTE on it to that one. Down takes the trail away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

#: How retention's function is named in PostgreSQL's own account of what called what.
_PURGE = "noteflow.purge_audit_log(interval,integer)"

#: Who calls is told by PostgreSQL, so it does not help to set what the function sets. An age that is no interval is
#: none: whoever sets it by hand gets the same refusal.
_REFUSE_ROW = f"""
CREATE FUNCTION noteflow.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    callers text;
BEGIN
    GET DIAGNOSTICS callers = PG_CONTEXT;
    IF TG_OP = 'DELETE' AND position('{_PURGE}' IN callers) > 0
       AND OLD.at <= now() - CAST(nullif(current_setting('noteflow.audit_age', true), '') AS interval)
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'noteflow.audit_log keeps its rows: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Retention removes what is older than NOTEFLOW_HOOKS_AUDIT_RETENTION_DAYS.';
END
$$
"""
_REFUSE_ALL = """
CREATE FUNCTION noteflow.refuse_audit_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'noteflow.audit_log keeps its rows: TRUNCATE is refused'
        USING ERRCODE = 'insufficient_privilege';
END
$$
"""
#: Removes the oldest rows that are so old, at most so many. Locked ones are passed over: another call removes them.
_REMOVE = """
CREATE FUNCTION noteflow.purge_audit_log(
    age interval, most integer, OUT removed bigint, OUT moment timestamptz, OUT id uuid
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('noteflow.audit_age', age::text, true);
    WITH old AS MATERIALIZED (
        SELECT entry.id FROM noteflow.audit_log AS entry WHERE entry.at <= now() - age
        ORDER BY entry.at, entry.id
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM noteflow.audit_log AS entry WHERE entry.id = ANY(ARRAY(SELECT old.id FROM old))
        RETURNING entry.at, entry.id
    ), last AS (
        SELECT gone.at, gone.id FROM gone ORDER BY gone.at DESC, gone.id DESC LIMIT 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT last.at FROM last), (SELECT last.id FROM last)
    INTO removed, moment, id;
    PERFORM set_config('noteflow.audit_age', '', true);
END
$$
"""
_REFUSES_ROW = """
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON noteflow.audit_log
    FOR EACH ROW EXECUTE FUNCTION noteflow.refuse_audit_change()
"""
_REFUSES_ALL = """
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON noteflow.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION noteflow.refuse_audit_truncate()
"""


def upgrade() -> None:
    """Change the schema."""
    _create_audit_log()
    _create_breaker_tallies()
    for statement in (_REFUSE_ROW, _REFUSE_ALL, _REMOVE, _REFUSES_ROW, _REFUSES_ALL):
        op.execute(statement)
    op.execute(f"REVOKE ALL ON FUNCTION {_PURGE} FROM PUBLIC")


def downgrade() -> None:
    """Change it back."""
    op.execute(f"DROP FUNCTION {_PURGE}")
    op.drop_table("breaker_tallies", schema="noteflow")
    op.drop_table("audit_log", schema="noteflow")
    op.execute("DROP FUNCTION noteflow.refuse_audit_change()")
    op.execute("DROP FUNCTION noteflow.refuse_audit_truncate()")


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), server_default=sa.text("noteflow.ordered_id()"), nullable=False),
        # Not the transaction's beginning: who waited for a lock comes behind whom it waited for.
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_hint", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("old", postgresql.JSON(), nullable=True),
        sa.Column("new", postgresql.JSON(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        schema="noteflow",
    )
    op.create_index("ix_audit_log_at_id", "audit_log", ["at", "id"], schema="noteflow")
    op.create_index("ix_audit_log_workspace_id_at_id", "audit_log", ["workspace_id", "at", "id"], schema="noteflow")
    op.create_index(
        "ix_audit_log_workspace_id_target_id_at_id",
        "audit_log",
        ["workspace_id", "target_id", "at", "id"],
        schema="noteflow",
    )


def _create_breaker_tallies() -> None:
    op.create_table(
        "breaker_tallies",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_breaker_tallies")),
        schema="noteflow",
    )
    op.create_index("ix_breaker_tallies_told_at", "breaker_tallies", ["told_at"], schema="noteflow")
