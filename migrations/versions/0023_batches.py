"""Batches: which deliveries are one POST, and when an endpoint's slot is one that waits for more of them.

Up adds a table, and columns that are null or have a constant default, which costs no rewrite; the new indexes have no
rows yet. Workers of 0022 go on, and don't claim what belongs to an endpoint with batches: the triggers of 0013 and 0015
keep them from it. Where a person has switched batches off, those that are begun go on, and another trigger keeps such
workers from their deliveries. Migrate before the processes of this release start, since they read the columns.

Down: endpoints with batches are paused by 0015's own way down. What waits as a batch goes alone, if at all.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE noteflow.webhook_deliveries ADD COLUMN batch_id uuid, ADD COLUMN batch_limit smallint;
ALTER TABLE noteflow.webhook_attempts ADD COLUMN batch_id uuid;
ALTER TABLE noteflow.webhook_health ADD COLUMN gathering boolean DEFAULT false NOT NULL
"""
_INDEXES = (
    ("ix_delivery_queue_batched", "delivery_queue", ["webhook_id", "next_attempt_at"]),
    ("ix_delivery_queue_batch_id", "delivery_queue", ["batch_id"]),
    ("ix_webhook_deliveries_batch_id", "webhook_deliveries", ["batch_id"]),
    ("ix_webhook_attempts_batch_id", "webhook_attempts", ["batch_id"]),
)
#: As `noteflow.in_flight`, see 0002, but that a batch is one POST.
_IN_FLIGHT = """
CREATE FUNCTION noteflow.requests_in_flight(endpoint uuid, lag_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    under_way integer;
    lagging integer;
BEGIN
    SELECT count(DISTINCT coalesce(batch_id, id)),
           count(DISTINCT coalesce(batch_id, id)) FILTER (WHERE claimed_at < clock_timestamp() - interval '0.2 s')
    INTO under_way, lagging
    FROM noteflow.webhook_deliveries WHERE webhook_id = endpoint AND status = 'sending';
    RETURN CASE WHEN lagging >= lag_limit THEN 2147483647 ELSE under_way END;
END
$$
"""
#: What is part of a batch is never sent alone, by a worker that knows of none.
_REFUSE = """
CREATE FUNCTION noteflow.refuse_claim_without_batches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$
"""
_REFUSES = """
CREATE TRIGGER refuse_claim_without_batches BEFORE UPDATE OF claim_no ON noteflow.delivery_queue FOR EACH ROW
    WHEN (OLD.batch_id IS NOT NULL AND NEW.status = 'sending'
          AND position('options' IN coalesce(current_setting('noteflow_hooks.options', true), '')) = 0)
    EXECUTE FUNCTION noteflow.refuse_claim_without_batches()
"""


def upgrade() -> None:
    """Change the schema."""
    for statement in _COLUMNS.split(";"):
        op.execute(statement)
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns, schema="noteflow", postgresql_where=sa.text("batch_id IS NOT NULL"))
    op.create_table(
        "webhook_batches",
        sa.Column("id", sa.Uuid(), server_default=sa.text("noteflow.ordered_id()"), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("members", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("rendering", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cardinality(members) BETWEEN 1 AND 100", name=op.f("ck_webhook_batches_members")),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["noteflow.webhook_configs.id"],
            name=op.f("fk_webhook_batches_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_batches")),
        schema="noteflow",
    )
    op.create_index("ix_webhook_batches_created_at_id", "webhook_batches", ["created_at", "id"], schema="noteflow")
    op.create_index(op.f("ix_webhook_batches_webhook_id"), "webhook_batches", ["webhook_id"], schema="noteflow")
    for statement in (_IN_FLIGHT, _REFUSE, _REFUSES):
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER refuse_claim_without_batches ON noteflow.delivery_queue")
    op.execute("DROP FUNCTION noteflow.refuse_claim_without_batches()")
    op.execute("DROP FUNCTION noteflow.requests_in_flight(uuid, integer)")
    op.drop_table("webhook_batches", schema="noteflow")
    op.execute("ALTER TABLE noteflow.webhook_health DROP COLUMN gathering")
    op.execute("ALTER TABLE noteflow.webhook_attempts DROP COLUMN batch_id")
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN batch_limit, DROP COLUMN batch_id")
