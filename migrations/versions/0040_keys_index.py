"""The index of the idempotency keys is newer than the one of a workspace's events, while there are no events.

A publishing statement looks whether its key is known. Planned while the table is empty, the two indexes cost the same
to PostgreSQL, which then takes the newer one (``get_relation_info`` in its ``plancat.c``). That was the workspace's,
which has all of its events, so that each event cost more than the one before it, until the table was first analyzed:
170 µs of PostgreSQL's time at first and 880 after eight thousand events. With the keys' index they stay at 125.

Up makes the constraint anew, under the same name, where there is no event yet. Where there are some, the table's
statistics tell the two indexes apart, and nothing is done. Down has nothing to change back: the schema is the same.
"""

from __future__ import annotations

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the constraint anew where that costs nothing."""
    op.execute("""
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM noteflow.webhook_events) THEN
            ALTER TABLE noteflow.webhook_events
                DROP CONSTRAINT uq_webhook_events_workspace_id_idempotency_key,
                ADD CONSTRAINT uq_webhook_events_workspace_id_idempotency_key UNIQUE (workspace_id, idempotency_key);
        END IF;
    END $$
    """)


def downgrade() -> None:
    """Do nothing: the schema of the revision before is the same."""
