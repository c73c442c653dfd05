"""What endpoints' filters say: the mark of deliveries that pass, what filters have failed on, and what is owed.

Up adds columns without a rewrite, and one partial index, whose making looks through `webhook_deliveries` once and
keeps it from being written to meanwhile: some seconds for ten million rows. Servers and workers of the release before
go on; they claim nothing whose endpoint has a filter. Migrate before the processes of this release start.

Down: nothing is lost but the counts of errors, and which deliveries had passed.
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_OWED = """
CREATE INDEX ix_webhook_deliveries_owed ON noteflow.webhook_deliveries (workspace_id, created_at DESC, id DESC)
    WHERE status <> 'succeeded' AND skip_reason IS DISTINCT FROM 'filtered'
"""


def upgrade() -> None:
    """Change the schema."""
    op.execute("ALTER TABLE noteflow.webhook_deliveries ADD COLUMN passes_filter boolean")
    op.execute("ALTER TABLE noteflow.webhook_replays ADD COLUMN include_filtered boolean DEFAULT false NOT NULL")
    op.execute(
        "ALTER TABLE noteflow.webhook_health ADD COLUMN filter_errors bigint DEFAULT 0 NOT NULL,"
        " ADD COLUMN filter_last_error text"
    )
    op.execute(_OWED)


def downgrade() -> None:
    """Change it back."""
    op.execute("DROP INDEX noteflow.ix_webhook_deliveries_owed")
    op.execute("ALTER TABLE noteflow.webhook_health DROP COLUMN filter_last_error, DROP COLUMN filter_errors")
    op.execute("ALTER TABLE noteflow.webhook_replays DROP COLUMN include_filtered")
    op.execute("ALTER TABLE noteflow.webhook_deliveries DROP COLUMN passes_filter")
