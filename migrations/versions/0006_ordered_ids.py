"""Ids of events, deliveries and attempts come in the order of time: new ones stand beside each other in every index.

Up adds a function and changes the defaults, which locks the three tables for a moment and changes no row; ids that are
there stay. Servers and workers of 0005 go on: what names ids of its own may name any.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("webhook_events", "webhook_deliveries", "webhook_attempts")
#: A UUID of version 7 (RFC 9562, 5.7) out of a random one; PostgreSQL has its own from 18 on.
ORDERED_ID = """
CREATE FUNCTION noteflow.ordered_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute(ORDERED_ID)
    for table in TABLES:
        op.execute(f"ALTER TABLE noteflow.{table} ALTER COLUMN id SET DEFAULT noteflow.ordered_id()")


def downgrade() -> None:
    """Change it back."""
    for table in TABLES:
        op.execute(f"ALTER TABLE noteflow.{table} ALTER COLUMN id SET DEFAULT gen_random_uuid()")
    op.execute("DROP FUNCTION noteflow.ordered_id()")
