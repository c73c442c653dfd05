"""When relay and sweep last ran to their end, so that `noteflow-hooks doctor` sees that nobody calls them any more.

Up adds a table that none of 0006 knows: servers and workers of 0006 go on. Workers of this release write to it, so
migrate before they are replaced; without it a relay or sweep does its work and then fails. Down takes the table away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""
    op.create_table(
        "task_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_task_runs")),
        schema="noteflow",
    )


def downgrade() -> None:
    """Change it back."""
    op.drop_table("task_runs", schema="noteflow")
