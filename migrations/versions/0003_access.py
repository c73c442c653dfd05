"""What a token may do, until when, and when it last did.

Up, step by step: the three columns add, and none rewrites the table; every token so far gets all three scopes and no
end, and so does one that a command of 0002 makes meanwhile. The check looks at each row, of which there are few.
Servers of 0002 go on with this schema, but know neither scopes nor ends: until the last of them is gone, a token that
was made narrower opens everything there.

Down: first the tokens that servers of 0002 would take for more than they are, with fewer scopes or an end, are revoked,
since nothing else would keep them to it; then the columns go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "api_tokens"


def upgrade() -> None:
    """Change the schema."""
    op.add_column(
        _TABLE,
        sa.Column("scopes", sa.ARRAY(sa.Text()), server_default=sa.text("'{manage,publish,read}'"), nullable=False),
        schema="noteflow",
    )
    for name in ("expires_at", "last_used_at"):
        column: sa.Column[object] = sa.Column(name, sa.DateTime(timezone=True), nullable=True)
        op.add_column(_TABLE, column, schema="noteflow")
    op.create_check_constraint(
        op.f("ck_api_tokens_scopes"),
        _TABLE,
        "scopes <@ ARRAY['manage', 'publish', 'read']::text[] AND cardinality(scopes) > 0",
        schema="noteflow",
    )


def downgrade() -> None:
    """Change it back."""
    op.execute(
        "UPDATE noteflow.api_tokens SET revoked_at = now() WHERE revoked_at IS NULL"
        " AND (expires_at IS NOT NULL OR NOT scopes @> ARRAY['manage', 'publish', 'read']::text[])"
    )
    op.drop_constraint(op.f("ck_api_tokens_scopes"), _TABLE, schema="noteflow")
    for name in ("last_used_at", "expires_at", "scopes"):
        op.drop_column(_TABLE, name, schema="noteflow")
