"""Where an attempt's time went, and the headers that went out and came back.

Up adds columns, which costs no rewrite: what is on record, and what a worker of the revision before records, has times
that are not known, which the default says, and no headers. What attempts' headers have in common stands in a table of
its own.

Down: both are gone.
"""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.execute("""
ALTER TABLE noteflow.webhook_attempts
    ADD COLUMN times smallint[] DEFAULT '{}',
    ADD COLUMN request_headers text,
    ADD COLUMN response_headers text
""")
    op.execute("""
CREATE TABLE noteflow.header_forms (
    id varchar NOT NULL CONSTRAINT pk_header_forms PRIMARY KEY,
    lines text NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
)
""")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP TABLE noteflow.header_forms")
    op.execute("""
ALTER TABLE noteflow.webhook_attempts
    DROP COLUMN times, DROP COLUMN request_headers, DROP COLUMN response_headers
""")
