"""Whether an attempt's request was sent twice, since the kept connection that it went out on had just ended.

Up adds a column with a default, which costs no rewrite: servers and workers of 0007 go on. Workers of this release
write to it, so migrate before they are replaced. Down takes the column away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""
    op.add_column(
        "webhook_attempts",
        sa.Column("redialled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="noteflow",
    )


def downgrade() -> None:
    """Change it back."""
    op.drop_column("webhook_attempts", "redialled", schema="noteflow")
