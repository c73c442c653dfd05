"""Endpoints that get the events of a meeting in their order.

Up adds columns without defaults, an index of what has a number in the queue, where nothing has one yet, and two
tables: how far each such endpoint is with each meeting, and the meetings whose head has gone. Workers and servers of
0023 go on; they claim nothing of such endpoints. A trigger on what leaves the queue notes the meeting, whoever takes
it away.

Down: as by 0015, endpoints with an order are paused. What is blocked gets its time back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_RELEASE = """
CREATE FUNCTION noteflow.release_meeting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noteflow.released_meetings (webhook_id, meeting_id)
    SELECT id, OLD.ordered_meeting FROM noteflow.webhook_configs
    WHERE id = OLD.webhook_id AND ordering <> 'none' AND deleted_at IS NULL;
    RETURN NULL;
END
$$
"""
_RELEASES = """
CREATE TRIGGER release_meeting AFTER DELETE ON noteflow.delivery_queue FOR EACH ROW
    WHEN (OLD.ordered_meeting IS NOT NULL)
    EXECUTE FUNCTION noteflow.release_meeting()
"""
_COLUMNS = (("ordered_meeting", "text"), ("sequence", "bigint"), ("gap", "integer"), ("out_of_order", "boolean"))


def upgrade() -> None:
    """Change the schema."""
    added = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in _COLUMNS)
    op.execute(f"ALTER TABLE noteflow.webhook_deliveries {added}")
    op.create_index(
        "ix_delivery_queue_ordered",
        "delivery_queue",
        ["webhook_id", "ordered_meeting", "sequence"],
        schema="noteflow",
        postgresql_where=sa.text("ordered_meeting IS NOT NULL"),
    )
    _create_orders()
    op.execute(_RELEASE)
    op.execute(_RELEASES)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP TRIGGER release_meeting ON noteflow.delivery_queue")
    op.execute("DROP FUNCTION noteflow.release_meeting()")
    op.execute(
        "UPDATE noteflow.delivery_queue SET next_attempt_at = next_attempt_at - interval '8766000 hours'"
        " WHERE status = 'pending' AND next_attempt_at >= '2900-01-01'"
    )
    op.drop_table("released_meetings", schema="noteflow")
    op.drop_table("meeting_orders", schema="noteflow")
    op.drop_index("ix_delivery_queue_ordered", "delivery_queue", schema="noteflow")
    dropped = ", ".join(f"DROP COLUMN {name}" for name, _ in _COLUMNS)
    op.execute(f"ALTER TABLE noteflow.webhook_deliveries {dropped}")


def _create_orders() -> None:
    op.create_table(
        "meeting_orders",
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("gap", sa.Integer(), nullable=False),
        sa.Column("stopped_by", sa.Uuid(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        _of_endpoint("meeting_orders"),
        sa.PrimaryKeyConstraint("webhook_id", "meeting_id", name=op.f("pk_meeting_orders")),
        schema="noteflow",
    )
    op.create_index(
        "ix_meeting_orders_stopped",
        "meeting_orders",
        ["webhook_id"],
        schema="noteflow",
        postgresql_where=sa.text("stopped_by IS NOT NULL"),
    )
    op.create_index(
        "ix_meeting_orders_stopped_by",
        "meeting_orders",
        ["stopped_by"],
        schema="noteflow",
        postgresql_where=sa.text("stopped_by IS NOT NULL"),
    )
    op.create_index("ix_meeting_orders_updated_at", "meeting_orders", ["updated_at"], schema="noteflow")
    op.create_table(
        "released_meetings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        _of_endpoint("released_meetings"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_released_meetings")),
        schema="noteflow",
    )
    op.create_index("ix_released_meetings_webhook_id", "released_meetings", ["webhook_id", "id"], schema="noteflow")


def _of_endpoint(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["webhook_id"], ["noteflow.webhook_configs.id"], name=op.f(f"fk_{table}_webhook_id"), ondelete="CASCADE"
    )
